/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What keeps clang's code such that the verifier can follow it, and short. All inline assembly is
 * here.
 */
#ifndef EXITTOP_VERIFIER_BPF_H
#define EXITTOP_VERIFIER_BPF_H

/* libbpf has them too, since 1.6. */
#ifndef likely
#define likely(condition) __builtin_expect(!!(condition), 1)
#define unlikely(condition) __builtin_expect(!!(condition), 0)
#endif

/*
 * Hides from clang where a value comes from, which the verifier goes on to know. So a bound that was
 * just checked or masked stays next to the access that needs it, rather than on another copy of the
 * value; and the value is not computed again for each use. hide32() is for 32-bit values, which
 * would be extended first.
 */
#define hide(value) asm volatile("" : "+r"(value))
#define hide32(value) asm volatile("" : "+w"(value))

/* address + offset. The address is added to the offset: the other way clang copies it first. */
static __always_inline void *ptr_add(void *address, u64 offset)
{
	asm volatile("%0 += %1" : "+r"(offset) : "r"(address));
	return (void *)offset;
}

/* Low half of a word. The verifier lets a typed pointer be cut to 32 bits, but not be shifted. */
static __always_inline u32 low_half(u64 word)
{
	u32 low;

	asm volatile("%0 = %1" : "=w"(low) : "w"((u32)word));
	return low;
}

#endif
