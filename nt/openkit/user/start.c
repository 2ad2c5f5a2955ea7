/* What a program in Rust for aarch64-pc-windows-msvc takes from Microsoft's C library: the entry point,
 * thread-local storage, a handful of functions that the compiler calls by itself. After the pages
 * "PE Format" (The .tls Section), "CRT initialization", "Overview of ARM64 ABI conventions" (Stack) and
 * "PEXCEPTION_ROUTINE"; mathematics come from the C library that is part of Windows.
 *
 * It is compiled without the headers and builtins of any library. */

typedef unsigned char u8;
typedef unsigned long long size;
typedef void (*Initializer)(void);

/* Thread-local storage. The linker sorts by what follows the `$`: the variables of the program lie
 * between the first two, its callbacks between the next two. Windows reads the directory, which std
 * asks the linker for. */
unsigned _tls_index;
#pragma section(".tls", read, write)
#pragma section(".tls$ZZZ", read, write)
#pragma section(".CRT$XCA", read)
#pragma section(".CRT$XCZ", read)
#pragma section(".CRT$XLA", read)
#pragma section(".CRT$XLZ", read)
#pragma section(".rdata$T", read)
__declspec(allocate(".tls")) u8 _tls_start = 0;
__declspec(allocate(".tls$ZZZ")) u8 _tls_end = 0;
__declspec(allocate(".CRT$XLA")) void *const tls_callbacks = 0;
__declspec(allocate(".CRT$XLZ")) void *const tls_callbacks_end = 0;

struct TlsDirectory {
    void *start_of_raw_data, *end_of_raw_data, *address_of_index;
    void *const *address_of_callbacks;
    unsigned size_of_zero_fill, characteristics;
};
_Static_assert(sizeof(struct TlsDirectory) == 40, "IMAGE_TLS_DIRECTORY64");
__declspec(allocate(".rdata$T")) const struct TlsDirectory _tls_used = {
    &_tls_start, &_tls_end, &_tls_index, &tls_callbacks + 1, 0, 0,
};

/* Initializers of the program, likewise. Rust has none; a crate may. */
__declspec(allocate(".CRT$XCA")) const Initializer initializers = 0;
__declspec(allocate(".CRT$XCZ")) const Initializer initializers_end = 0;

__declspec(dllimport) __declspec(noreturn) void ExitProcess(unsigned code);

/* rustc's. std asks Windows for the command line. */
int main(int argc, char **argv);

__declspec(noreturn) void mainCRTStartup(void)
{
    for (const Initializer *next = &initializers + 1; next < &initializers_end; next++)
        if (*next)
            (*next)();
    ExitProcess((unsigned)main(0, 0));
}

/* Named in the unwind data of a std that could unwind. This program aborts on a panic, so it is asked
 * only in the dispatch of exceptions of the processor, and has them looked for a handler further up:
 * ExceptionContinueSearch. */
int __CxxFrameHandler3(void)
{
    return 1;
}

void *memcpy(void *restrict to, const void *restrict from, size count)
{
    u8 *restrict t = to;
    const u8 *restrict f = from;
    for (size at = 0; at < count; at++)
        t[at] = f[at];
    return to;
}

void *memmove(void *to, const void *from, size count)
{
    u8 *t = to;
    const u8 *f = from;
    if (t <= f)
        for (size at = 0; at < count; at++)
            t[at] = f[at];
    else
        for (size at = count; at-- > 0;)
            t[at] = f[at];
    return to;
}

void *memset(void *to, int byte, size count)
{
    u8 *t = to;
    for (size at = 0; at < count; at++)
        t[at] = (u8)byte;
    return to;
}

int memcmp(const void *one, const void *other, size count)
{
    const u8 *a = one, *b = other;
    for (size at = 0; at < count; at++)
        if (a[at] != b[at])
            return a[at] - b[at];
    return 0;
}

/* The class that std's description of a panic refers to, for a handler that is not there. */
void *const type_info_vftable __asm__("??_7type_info@@6B@") = 0;

size strlen(const char *text)
{
    size length = 0;
    while (text[length])
        length++;
    return length;
}

size wcslen(const unsigned short *text)
{
    size length = 0;
    while (text[length])
        length++;
    return length;
}

/* Touches each page of a large frame, in order, so that the stack's guard page is met. X15 is the
 * frame's size in units of 16 bytes; X16 and X17 are the only registers that may change. */
__asm__(".globl __chkstk\n"
        "__chkstk:\n"
        "  lsl x16, x15, #4\n"
        "  mov x17, sp\n"
        "1: sub x17, x17, #4096\n"
        "  subs x16, x16, #4096\n"
        "  ldr xzr, [x17]\n"
        "  b.gt 1b\n"
        "  ret\n");
