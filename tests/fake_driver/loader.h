/* The half of the simulated driver that loads code. Its rules are written from NVIDIA's documentation (CUDA
 * Programming Guide: binary, PTX, architecture- and family-specific compatibility; CUDA Compatibility; the texts
 * of CUresult in cuda.h), and share nothing with the engine that is compared with it.
 *
 * It reads the ELF header of cubins, the entry headers of fatbins and the directives of PTX. A compressed payload
 * stays closed: it counts as linked code with the kernel `k`. Which number the real driver gives for which failure
 * is known in part only; that something fails is what counts.
 *
 * FAKE_CUDA_BREAK=1 breaks one rule: PTX no longer compiles for a newer GPU.
 */
#include <stdint.h>

enum { OK, INVALID_IMAGE = 200, NO_BINARY = 209, INVALID_PTX = 218, NEWER_PTX = 222, JIT_OFF = 223, NOT_FOUND = 500 };
struct module { int kernel; };

static int switched_on(const char *name, const char *newer) {
    const char *value = getenv(name), *other = getenv(newer);
    return (value && !strcmp(value, "1")) || (other && !strcmp(other, "1"));
}

static uint64_t number(const unsigned char *p, int bytes) {
    uint64_t value = 0;
    while (bytes--) value = value << 8 | p[bytes];
    return value;
}

static int one_of(int value, const int *list) {
    for (; *list; list++) if (*list == value) return 1;
    return 0;
}

/* Families of devices that share their family-specific features; the numbers of one are in ascending order. */
static int same_family(int a, int b) {
    static const int families[][4] = {{100, 103, 107, 0}, {110, 0}, {120, 121, 0}};
    for (int i = 0; i < 3; i++) if (one_of(a, families[i]) && one_of(b, families[i])) return 1;
    return 0;
}

static int machine_code_runs(int code, char suffix, int device) {
    static const int tegra[] = {32, 53, 62, 72, 87, 0};
    if (code == device) return 1;
    if (suffix == 'a' || code > device) return 0;
    if (code >= 100 || device >= 100) return same_family(code, device);
    if (one_of(code, tegra) || one_of(device, tegra)) return 0;
    return code / 10 == device / 10;
}

static int ptx_compiles(int code, char suffix, int device) {
    if (suffix == 'a') return code == device;
    if (suffix == 'f') return code <= device && same_family(code, device);
    const char *broken = getenv("FAKE_CUDA_BREAK");
    return broken && !strcmp(broken, "1") ? code == device : code <= device;
}

/* The newest PTX that the driver compiles, 87 for 8.7; by the CUDA version that it says it supports. */
static int newest_ptx(void) {
    int major = cuda_version / 1000, minor = cuda_version % 1000 / 10;
    if (major == 10) return 63 + minor;
    if (major == 11) return 70 + minor;
    if (major == 12) return minor < 6 ? 80 + minor : 79 + minor;
    return 90 + minor;
}

static int take_machine_code(int code, char suffix, int device) {
    if (switched_on("CUDA_FORCE_PTX_JIT", "CUDA_FORCE_JIT")) return NO_BINARY;
    return machine_code_runs(code, suffix, device) ? OK : NO_BINARY;
}

static int take_ptx(int version, int code, char suffix, int device) {
    if (switched_on("CUDA_DISABLE_PTX_JIT", "CUDA_DISABLE_JIT")) return JIT_OFF;
    if (version > newest_ptx()) return NEWER_PTX;
    return ptx_compiles(code, suffix, device) ? OK : NO_BINARY;
}

/* The sections of a cubin: whether it has the kernel, and whether its compatibility record says `a`. */
static void read_sections(const unsigned char *elf, int *kernel, int *accelerated) {
    const unsigned char *table = elf + number(elf + 40, 8);
    int count = (int)number(elf + 60, 2), names_at = (int)number(elf + 62, 2);
    const char *names = (const char *)elf + number(table + names_at * 64 + 24, 8);
    for (int i = 1; i < count; i++) {
        const unsigned char *row = table + i * 64;
        const char *name = names + number(row, 4);
        if (!strcmp(name, ".text.k")) *kernel = 1;
        if (strcmp(name, ".nv.compat")) continue;
        const unsigned char *at = elf + number(row + 24, 8), *end = at + number(row + 32, 8);
        while (at + 4 <= end) {
            if (at[0] == 2 && at[1] == 9 && at[2]) *accelerated = 1;
            at += at[0] == 4 ? 4 + number(at + 2, 2) : 4;
        }
    }
}

static int load_cubin(const unsigned char *elf, int device, int *kernel) {
    unsigned flags = (unsigned)number(elf + 48, 4);
    int abi = elf[8], accelerated = 0;
    int code = abi == 7 ? flags & 0xff : flags >> 8 & 0xff;
    *kernel = 0;
    read_sections(elf, kernel, &accelerated);
    if (abi == 7 ? (flags & 0x800) && code >= 90 : flags & 8) accelerated = 1;
    if (number(elf + 16, 2) == 1) return INVALID_IMAGE; /* it still has to be linked */
    return take_machine_code(code, accelerated ? 'a' : 0, device);
}

static int load_ptx(const char *text, int device, int *kernel) {
    const char *version = strstr(text, ".version "), *target = strstr(text, ".target sm_");
    int major = 0, minor = 0, code = 0;
    char suffix = 0;
    if (!version || !target || sscanf(version, ".version %d.%d", &major, &minor) != 2) return INVALID_PTX;
    if (sscanf(target, ".target sm_%d%c", &code, &suffix) < 1) return INVALID_PTX;
    *kernel = strstr(text, ".entry k(") != NULL;
    return take_ptx(major * 10 + minor, code, suffix == 'a' || suffix == 'f' ? suffix : 0, device);
}

static int take_entry(const unsigned char *head, const unsigned char *payload, int device, int *kernel) {
    int kind = (int)number(head, 2), code = (int)number(head + 28, 4);
    uint64_t flags = number(head + 40, 8);
    int version = (int)(number(head + 26, 2) * 10 + number(head + 24, 2));
    char suffix = flags & 0x100000 ? 'a' : flags & 0x200000 ? 'f' : 0;
    *kernel = 1;
    if (kind != 1 && kind != 2) return NO_BINARY;
    if (payload && kind == 2) {
        int accelerated = 0;
        *kernel = 0;
        read_sections(payload, kernel, &accelerated);
        if (number(payload + 16, 2) == 1) return INVALID_IMAGE;
    }
    if (payload && kind == 1) *kernel = strstr((const char *)payload, ".entry k(") != NULL;
    return kind == 2 ? take_machine_code(code, suffix, device) : take_ptx(version, code, suffix, device);
}

static int load_fatbin(const unsigned char *fatbin, int device, int *kernel) {
    const unsigned char *at = fatbin + number(fatbin + 6, 2), *end = at + number(fatbin + 8, 8);
    int branch = atoi(driver_release), worst = NO_BINARY, loaded = 0;
    *kernel = 0;
    while (at < end) {
        const unsigned char *payload = at + number(at + 4, 4);
        uint64_t flags = number(at + 40, 8);
        int packed = (flags & 0xa000) != 0, count = 1, found = 0;
        const unsigned char *one = at;
        if (number(at, 2) == 0x100) { /* several images in one; since CUDA 13.4 */
            count = branch < 615 ? -1 : (int)number(at + 64, 4);
            one = at + 72;
        }
        if (count < 0 || (flags & 0x8000 && branch < 550)) worst = INVALID_IMAGE;
        else for (int i = 0; i < count; i++) {
            const unsigned char *bytes = packed ? NULL : one == at ? payload : payload + number(one + 4, 4);
            int code = take_entry(one, bytes, device, &found);
            if (!code) { loaded = 1; *kernel |= found; }
            else if (code != NO_BINARY) worst = code;
            uint64_t name = number(one + 36, 4), options = number(one + 20, 4), length = 64;
            if (name) length = (number(one + 32, 4) + name + 8) & ~7ull;
            if (options) length = (number(one + options, 4) + number(one + options + 4, 4) + 8) & ~7ull;
            one += length;
        }
        at = payload + number(at + 8, 8);
    }
    return loaded ? OK : worst;
}

static int current = -1;

static int load_any(void **module, const void *image) {
    static const unsigned char elf_magic[] = {0x7f, 'E', 'L', 'F'}, fatbin_magic[] = {0x50, 0xed, 0x55, 0xba};
    struct gpu *g = at(current);
    int kernel = 0, code;
    if (!g) return 201;
    int device = g->major * 10 + g->minor;
    if (!memcmp(image, elf_magic, 4)) code = load_cubin(image, device, &kernel);
    else if (!memcmp(image, fatbin_magic, 4)) code = load_fatbin(image, device, &kernel);
    else code = load_ptx(image, device, &kernel);
    if (code) return code;
    struct module *loaded = malloc(sizeof *loaded);
    loaded->kernel = kernel;
    *module = loaded;
    return 0;
}

int cuDevicePrimaryCtxRetain(void **context, int device) {
    ENTER;
    if (!at(device)) return 101;
    *context = &gpus[visible[device]];
    return 0;
}
int cuDevicePrimaryCtxRelease_v2(int device) { ENTER; return at(device) ? 0 : 101; }
int cuCtxCreate_v2(void **context, unsigned flags, int device) { (void)context; (void)flags; (void)device; ENTER; return 0; }
int cuCtxSetCurrent(void *context) {
    ENTER;
    for (current = visible_count - 1; current >= 0; current--) if (context == &gpus[visible[current]]) return 0;
    return 201;
}
int cuCtxSynchronize(void) { ENTER; return current < 0 ? 201 : 0; }

int cuModuleLoadData(void **module, const void *image) { ENTER; return load_any(module, image); }
int cuModuleGetFunction(void **function, void *module, const char *name) {
    ENTER;
    if (strcmp(name, "k") || !((struct module *)module)->kernel) return NOT_FOUND;
    *function = module;
    return 0;
}
int cuModuleUnload(void *module) { ENTER; free(module); return 0; }
int cuLibraryLoadData(void **library, const void *image, int *options, void **values, unsigned count, int *more,
                      void **more_values, unsigned more_count) {
    (void)options; (void)values; (void)count; (void)more; (void)more_values; (void)more_count;
    ENTER;
    return load_any(library, image);
}
int cuLibraryGetKernel(void **kernel, void *library, const char *name) {
    ENTER;
    return strcmp(name, "k") || !((struct module *)library)->kernel ? NOT_FOUND : (*kernel = library, 0);
}
int cuLibraryUnload(void *library) { ENTER; free(library); return 0; }

int cuMemAlloc_v2(void **place, size_t size) { ENTER; *place = calloc(1, size); return 0; }
int cuMemFree_v2(void *place) { ENTER; free(place); return 0; }
int cuMemcpyHtoD_v2(void *to, const void *from, size_t size) { ENTER; memcpy(to, from, size); return 0; }
int cuMemcpyDtoH_v2(void *to, const void *from, size_t size) { ENTER; memcpy(to, from, size); return 0; }
/* What every kernel does: write 42 where its one argument points. */
int cuLaunchKernel(void *function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
                   unsigned shared, void *stream, void **arguments, void **extra) {
    (void)gx; (void)gy; (void)gz; (void)bx; (void)by; (void)bz; (void)shared; (void)stream; (void)extra;
    ENTER;
    if (!function) return 400;
    **(unsigned **)arguments[0] = 42;
    return 0;
}

/* NVRTC from 12.9 on asks for it, behind cuInit; none of the private tables is here. */
int cuGetExportTable(const void **table, const void *id) { (void)id; ENTER; *table = NULL; return NOT_FOUND; }
