/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a new VM's process is called, told to user space at once: read from the memory of the process
 * itself, which /proc/PID/cmdline is, too. Once per VM.
 */
#ifndef EXITTOP_COMMAND_LINE_BPF_H
#define EXITTOP_COMMAND_LINE_BPF_H

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, EXITTOP_COMMAND_LINES);
} command_lines SEC(".maps");

/* Where it cannot be read now (it is not in memory, or there is no room), nothing is told. */
static __noinline int command_line_tell(u32 slot)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	u64 begin = BPF_CORE_READ(task, mm, arg_start);
	u64 size = BPF_CORE_READ(task, mm, arg_end) - begin;
	struct exittop_command_line *line;

	if (!size)
		return 0;
	if (size > EXITTOP_COMMAND_LINE_SIZE)
		size = EXITTOP_COMMAND_LINE_SIZE;
	line = bpf_ringbuf_reserve(&command_lines, sizeof(*line), 0);
	if (!line)
		return 0;
	line->slot = slot;
	line->size = size;
	if (bpf_probe_read_user(line->text, size, (void *)begin))
		bpf_ringbuf_discard(line, BPF_RB_NO_WAKEUP);
	else
		bpf_ringbuf_submit(line, BPF_RB_NO_WAKEUP);
	return 0;
}

#endif
