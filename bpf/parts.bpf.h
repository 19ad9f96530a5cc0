/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Where the time of an exit went. Of its six parts, five are told by somebody else's clocks and are
 * added up here; what is left was the kernel's own work:
 *
 *   vmm        outside KVM_RUN, on a CPU: KVM loads and puts the guest's FPU state around it
 *   polled     KVM's halt polling, as KVM's statistics have it
 *   preempted  runnable without a CPU: run_delay of the scheduler
 *   halted     asleep in HLT: KVM's halt_wait_ns without the wait for a CPU after the wake-up
 *   blocked    asleep elsewhere
 *
 * A vCPU's thread leaves its CPU only between an exit and the next entry. So what these clocks have
 * gained since the last look belongs to the exits since then. Only exits that took long, left KVM_RUN
 * or are a HLT are looked at: the fast path does not know the vCPU while EXITTOP_LOOK is set.
 */
#ifndef EXITTOP_PARTS_BPF_H
#define EXITTOP_PARTS_BPF_H

/* Clocks of two CPUs' run queues differ by the time that each of them spent in interrupts. */
#define TICK_NS 10000000ull

/* What the scheduler knows of the thread that runs a vCPU, */
struct thread_state {
	u32 tid;
	u64 run_delay_ns;
	u64 sleeps; /* how often it went to sleep */
};

static __always_inline bool has_task_btf(const enum read_by by)
{
	return by == READ_BY_CAST ||
	       bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_get_current_task_btf);
}

static __always_inline struct thread_state thread_state(const enum read_by by)
{
	struct thread_state state;
	struct task_struct *task;

	if (has_task_btf(by)) {
		task = bpf_get_current_task_btf();
		state.tid = task->pid;
		state.run_delay_ns = task->sched_info.run_delay;
		state.sleeps = task->nvcsw;
		return state;
	}
	task = (void *)bpf_get_current_task();
	state.tid = BPF_CORE_READ(task, pid);
	state.run_delay_ns = BPF_CORE_READ(task, sched_info.run_delay);
	state.sleeps = BPF_CORE_READ(task, nvcsw);
	return state;
}

/*
 * and where its clocks are. A thread's run time and the clock at its end are written together, so
 * their difference grows by the time that it has no CPU, and by nothing else.
 */
static __always_inline struct cpu_mark cpu_mark(u64 now, const enum read_by by)
{
	struct cpu_mark mark;
	struct task_struct *task;

	mark.at_ns = now;
	if (has_task_btf(by)) {
		task = bpf_get_current_task_btf();
		mark.ran_ns = task->se.sum_exec_runtime;
		mark.off_cpu_ns = task->se.exec_start - mark.ran_ns;
		mark.moves = task->se.nr_migrations;
		return mark;
	}
	task = (void *)bpf_get_current_task();
	mark.ran_ns = BPF_CORE_READ(task, se.sum_exec_runtime);
	mark.off_cpu_ns = BPF_CORE_READ(task, se.exec_start) - mark.ran_ns;
	mark.moves = BPF_CORE_READ(task, se.nr_migrations);
	return mark;
}

/*
 * How long the thread had no CPU since a mark. Exact while it stays on one. After a move the clocks
 * may be of two CPUs: where the result then cannot be, exact to a tick.
 */
static __always_inline u64 off_cpu_between(const struct cpu_mark *mark, const struct cpu_mark *now)
{
	u64 off = now->off_cpu_ns - mark->off_cpu_ns;
	u64 by_tick;

	if (likely(!off))
		return 0;
	by_tick = now->at_ns - mark->at_ns - (now->ran_ns - mark->ran_ns);
	if (now->moves != mark->moves && off - by_tick + TICK_NS > 2 * TICK_NS)
		off = by_tick;
	return (s64)off < 0 ? 0 : off;
}

/* KVM's statistics of a vCPU. */
struct vcpu_stats {
	u64 polled_ns; /* while it was halted, */
	u64 waited_ns; /* and asleep, or waiting for a CPU; 0 before Linux 5.14 */
	u64 returns;   /* from KVM_RUN: KVM puts the FPU state then */
};

static __always_inline bool has_halt_wait(void)
{
	struct kvm_vcpu *vcpu = 0;

	return bpf_core_field_exists(vcpu->stat.generic);
}

static __always_inline struct vcpu_stats vcpu_stats(u64 address, const enum read_by by)
{
	struct vcpu_stats stats = {};
	struct kvm_vcpu *vcpu = (void *)address;

	if (by == READ_BY_CAST) {
		vcpu = bpf_rdonly_cast(vcpu, bpf_core_type_id_kernel(struct kvm_vcpu));
		stats.polled_ns = vcpu->stat.generic.halt_poll_success_ns +
				  vcpu->stat.generic.halt_poll_fail_ns;
		stats.waited_ns = vcpu->stat.generic.halt_wait_ns;
		stats.returns = vcpu->stat.fpu_reload;
		return stats;
	}
	if (has_halt_wait()) {
		stats.polled_ns = BPF_CORE_READ(vcpu, stat.generic.halt_poll_success_ns) +
				  BPF_CORE_READ(vcpu, stat.generic.halt_poll_fail_ns);
		stats.waited_ns = BPF_CORE_READ(vcpu, stat.generic.halt_wait_ns);
	} else {
		stats.polled_ns = BPF_CORE_READ(vcpu, stat.halt_poll_success_ns) +
				  BPF_CORE_READ(vcpu, stat.halt_poll_fail_ns);
	}
	stats.returns = BPF_CORE_READ(vcpu, stat.fpu_reload);
	return stats;
}

/* Why KVM_RUN has returned. */
static __always_inline u64 return_reason(u64 address, const enum read_by by)
{
	struct kvm_vcpu *vcpu = (void *)address;

	if (by != READ_BY_CAST)
		return BPF_CORE_READ(vcpu, run, exit_reason);
	vcpu = bpf_rdonly_cast(vcpu, bpf_core_type_id_kernel(struct kvm_vcpu));
	return vcpu->run->exit_reason;
}

/* A new slot: from now on the clocks' growth is its exits'. */
static __always_inline void parts_begin(struct vcpu_slot *slot, u64 vcpu, u64 now)
{
	struct vcpu_times *times = &slot->times;
	struct thread_state thread = thread_state(READ_BY_HELPER);
	struct vcpu_stats stats = vcpu_stats(vcpu, READ_BY_HELPER);

	times->tid = thread.tid;
	times->run_delay_ns = thread.run_delay_ns;
	times->sleeps = thread.sleeps;
	times->polled_ns = stats.polled_ns;
	times->waited_ns = stats.waited_ns;
	times->returns = stats.returns;
	times->last = cpu_mark(now, READ_BY_HELPER);
}

static __always_inline u64 at_most(u64 value, u64 most)
{
	return value < most ? value : most;
}

static __always_inline u64 without(u64 value, u64 part)
{
	return value > part ? value - part : 0;
}

/* KVM_RUN returns to the VMM. */
static __always_inline void vmm_begin(struct vcpu_slot *slot, u64 vcpu, u64 now, const enum read_by by)
{
	struct vcpu_times *times = &slot->times;
	u64 why = return_reason(vcpu, by);

	hide(why); /* Else half of it is checked. */
	/* The VMM can write it, too. */
	if (why >= EXITTOP_RETURN_REASONS)
		why = EXITTOP_RETURN_REASONS - 1;
	hide(why); /* Else the check may be of another copy. */
	slot->returns[why]++;
	times->returns++;
	times->vmm = cpu_mark(now, by);
	look_at_end(slot);
}

/* Adds the VMM's time on a CPU since KVM_RUN returned. */
static __always_inline void vmm_end(struct vcpu_slot *slot, u64 now, const enum read_by by)
{
	struct vcpu_times *times = &slot->times;
	struct cpu_mark end = cpu_mark(now, by);

	if (!times->vmm.at_ns)
		return;
	times->vmm_ns += without(now - times->vmm.at_ns, off_cpu_between(&times->vmm, &end));
	times->vmm.at_ns = 0;
}

/* What of an exit's time was spent without a CPU or polling: its parts but the VMM's. */
static __always_inline u64 parts_add(struct vcpu_slot *slot, struct exit_parts *parts, u64 ns, u64 now,
				     const enum read_by by)
{
	struct vcpu_times *times = &slot->times;
	struct thread_state thread = thread_state(by);
	struct vcpu_stats stats = vcpu_stats(EXITTOP_VCPU_OF(slot->header.vcpu), by);
	struct cpu_mark end = cpu_mark(now, by);
	u64 preempted = thread.run_delay_ns - times->run_delay_ns;
	u64 polled = stats.polled_ns - times->polled_ns;
	u64 waited = stats.waited_ns - times->waited_ns;
	u64 slept = 0, halted;

	if (thread.tid != times->tid)
		preempted = 0; /* Another thread runs the vCPU from now on. */
	else if (thread.sleeps != times->sleeps)
		slept = without(off_cpu_between(&times->last, &end), preempted);
	times->tid = thread.tid;
	times->run_delay_ns = thread.run_delay_ns;
	times->sleeps = thread.sleeps;
	times->polled_ns = stats.polled_ns;
	times->waited_ns = stats.waited_ns;
	times->last = end;

	/* Disjoint, even if what a clock has gained was not of this exit alone. */
	preempted = at_most(preempted, ns);
	ns -= preempted;
	slept = at_most(slept, ns);
	if (!has_halt_wait())
		waited = is_halt(slot, current_cell(slot)->code) ? slept : 0;
	/* The wait for a CPU may have followed the wake-up, or been elsewhere. */
	halted = at_most(slept, waited);
	if (halted < without(waited, preempted))
		halted = without(waited, preempted);
	halted = at_most(halted, ns);
	ns -= halted;
	slept = at_most(without(slept, halted), ns);
	ns -= slept;
	polled = at_most(polled, ns);
	parts->preempted_ns += preempted;
	parts->halted_ns += halted;
	parts->blocked_ns += slept;
	parts->polled_ns += polled;
	return ns - polled;
}

/* Out of line: most exits that are looked at had a CPU all the time. Returns what is left of `ns`. */
static __noinline u64 parts_add_by_cast(struct vcpu_slot *slot, u64 ns, u64 now)
{
	return parts_add(slot, current_parts(slot), ns, now, READ_BY_CAST);
}

static __noinline u64 parts_add_by_helper(struct vcpu_slot *slot, u64 ns, u64 now)
{
	return parts_add(slot, current_parts(slot), ns, now, READ_BY_HELPER);
}

/* Adds the parts of the exit that ends, which took `ns`. */
static __always_inline void parts_end(struct vcpu_slot *slot, u64 ns, u64 now, const enum read_by by)
{
	struct vcpu_times *times = &slot->times;
	struct vcpu_stats stats = vcpu_stats(EXITTOP_VCPU_OF(slot->header.vcpu), by);
	struct thread_state thread = thread_state(by);
	u64 vmm;

	/* An event that the kernel did not pass on: the VMM's stay ends here, */
	if (unlikely(times->vmm.at_ns))
		vmm_end(slot, now, by);
	/* or is not known. */
	if (unlikely(stats.returns != times->returns)) {
		times->vmm_missed += stats.returns - times->returns;
		times->returns = stats.returns;
	}
	vmm = times->vmm_ns;
	times->vmm_ns = 0;
	if (thread.run_delay_ns != times->run_delay_ns || thread.sleeps != times->sleeps ||
	    stats.polled_ns != times->polled_ns || stats.waited_ns != times->waited_ns)
		ns = by == READ_BY_CAST ? parts_add_by_cast(slot, ns, now)
					: parts_add_by_helper(slot, ns, now);
	else if (!vmm)
		return;
	current_cell(slot)->flags |= EXITTOP_CELL_PARTS;
	current_parts(slot)->vmm_ns += at_most(vmm, ns);
}

#endif
