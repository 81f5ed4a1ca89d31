// SPDX-License-Identifier: GPL-2.0-or-later
#include "real.h"

#include <dlfcn.h>
#include <errno.h>

struct real_calls real;

static const char *const real_names[REAL_COUNT] = {
#define SHIM_CALL(ret, name, params) #name,
#include "calls.h"
};

/* The members of struct real_calls are all function pointers, in the order of enum real_id. */
static void **slot_of(enum real_id id)
{
	return (void **)&real + id;
}

void *real_resolve(enum real_id id)
{
	void *found = dlsym(RTLD_NEXT, real_names[id]);

	*slot_of(id) = found;
	return found;
}

static void *seen_from(const char *name, void *caller)
{
	Dl_info info;
	void *handle = NULL;

#ifdef __GLIBC__
	/* a handle is the link map */
	if (!dladdr1(caller, &info, &handle, RTLD_DL_LINKMAP))
		return NULL;
#else
	/* musl: no memory is taken, and nothing is ever unloaded */
	if (dladdr(caller, &info))
		handle = dlopen(info.dli_fname, RTLD_LAZY | RTLD_NOLOAD);
#endif
	return handle ? dlsym(handle, name) : NULL;
}

void *real_resolve_for(enum real_id id, void *caller)
{
	void *found = real_resolve(id);

	if (!found)
		found = *slot_of(id) = seen_from(real_names[id], caller);
	return found;
}

void *real_beside(const char *name, void *caller)
{
	void *found = dlsym(RTLD_NEXT, name);

	return found ? found : seen_from(name, caller);
}

void real_resolve_all(void)
{
	for (int id = 0; id < REAL_COUNT; id++)
		if (!*slot_of((enum real_id)id))
			real_resolve((enum real_id)id);
}

#if defined(__x86_64__) && !defined(__ILP32__)
long real_raw_syscall(long number, const long arg[6])
{
	register long r10 __asm__("r10") = arg[3];
	register long r8 __asm__("r8") = arg[4];
	register long r9 __asm__("r9") = arg[5];
	long ret;

	__asm__ volatile("syscall"
			 : "=a"(ret)
			 : "a"(number), "D"(arg[0]), "S"(arg[1]), "d"(arg[2]), "r"(r10), "r"(r8),
			   "r"(r9)
			 : "rcx", "r11", "memory");
	return ret;
}
#elif defined(__aarch64__)
long real_raw_syscall(long number, const long arg[6])
{
	register long x8 __asm__("x8") = number;
	register long x0 __asm__("x0") = arg[0];
	register long x1 __asm__("x1") = arg[1];
	register long x2 __asm__("x2") = arg[2];
	register long x3 __asm__("x3") = arg[3];
	register long x4 __asm__("x4") = arg[4];
	register long x5 __asm__("x5") = arg[5];

	__asm__ volatile("svc 0"
			 : "+r"(x0)
			 : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
			 : "memory");
	return x0;
}
#else
/* Elsewhere the C library's own function, at the price of a dlsym where nobody else was first. */
long real_raw_syscall(long number, const long arg[6])
{
	long ret = REAL(syscall)(number, arg[0], arg[1], arg[2], arg[3], arg[4], arg[5]);

	return ret == -1 ? -errno : ret;
}
#endif
