/* bcryptprimitives.dll, which Wine 8 lacks and Rust's standard library takes its random numbers from,
 * in terms of a function that Wine has. */

/* RtlGenRandom, by the name that it is exported under. */
unsigned char SystemFunction036(void *Buffer, unsigned int Length);

int DllMain(void *Module, unsigned int Reason, void *Reserved)
{
    (void)Module;
    (void)Reason;
    (void)Reserved;
    return 1;
}

int ProcessPrng(unsigned char *Data, unsigned long long Length)
{
    const unsigned int Most = 1 << 20;
    while (Length) {
        unsigned int Part = Length < Most ? (unsigned int)Length : Most;
        if (!SystemFunction036(Data, Part))
            return 0;
        Data += Part;
        Length -= Part;
    }
    return 1;
}
