// Conversions of half and bfloat16, rounding to nearest even: what the card has instructions for. Behind the kernel's source.
inline float wide(half_t x) {
    unsigned sign = (x.bits & 0x8000u) << 16, exponent = x.bits >> 10 & 31, fraction = x.bits & 1023;
    if (exponent == 31) return __uint_as_float(sign | 0x7f800000u | fraction << 13);
    float value = exponent ? ldexpf((float)(1024 + fraction), (int)exponent - 25) : ldexpf((float)fraction, -24);
    return sign ? -value : value;
}
inline void narrow(float x, half_t& out) {
    unsigned bits = __float_as_uint(x), sign = bits >> 16 & 0x8000u;
    float size = fabsf(x);
    if (x != x) { out.bits = (unsigned short)(sign | 0x7e00u); return; }
    if (size >= 65520.0f) { out.bits = (unsigned short)(sign | 0x7c00u); return; }
    int exponent;
    frexpf(size, &exponent);                       // size = f · 2^exponent, ½ ≤ f < 1
    int step = exponent - 11 < -24 ? -24 : exponent - 11;  // the spacing of half at this size is 2^step
    unsigned steps = (unsigned)nearbyintf(ldexpf(size, -step));
    unsigned value = steps < 1024 ? steps : ((unsigned)(step + 25) << 10) + (steps - 1024);
    out.bits = (unsigned short)(sign | value);
}
inline void narrow(float x, bfloat_t& out) {
    unsigned bits = __float_as_uint(x);
    if (x != x) { out.bits = (unsigned short)(bits >> 16 | 0x40u); return; }
    out.bits = (unsigned short)((bits + 0x7fffu + (bits >> 16 & 1)) >> 16);
}
