/* A stand-in for libcuda.so.1. What CUDA_VISIBLE_DEVICES does is written from NVIDIA's documentation (CUDA
 * Programming Guide, environment variables; MIG User Guide), and shares nothing with the parser under test.
 * Where that is silent (a device named twice) it does what pytorch/pytorch#92315 reports. */
#include "fleet.h"

static int visible[MOST], visible_count;
static pid_t initialised_by;

/* 0: this process may go on. A child forked after cuInit may not, as with the real driver. */
static int ready(void) { return initialised_by && initialised_by == getpid() ? 0 : 3; }

static int by_pci(const void *a, const void *b) { return strcmp(gpus[*(const int *)a].pci, gpus[*(const int *)b].pci); }
static int by_speed(const void *a, const void *b) {
    int difference = gpus[*(const int *)b].speed - gpus[*(const int *)a].speed;
    return difference ? difference : by_pci(a, b);
}

static void decide_visible(void) {
    int all[MOST], count = 0, first_slice = -1;
    for (int i = 0; i < gpu_count; i++) {
        if (gpus[i].parent >= 0) { if (first_slice < 0) first_slice = i; }
        else if (!gpus[i].mig) all[count++] = i;
    }
    const char *order = getenv("CUDA_DEVICE_ORDER");
    qsort(all, (size_t)count, sizeof *all, order && !strcmp(order, "PCI_BUS_ID") ? by_pci : by_speed);
    const char *value = getenv("CUDA_VISIBLE_DEVICES");
    visible_count = 0;
    if (!value) {
        if (first_slice >= 0) visible[visible_count++] = first_slice;
        else { memcpy(visible, all, sizeof all); visible_count = count; }
        return;
    }
    while (*value) {
        size_t length = strcspn(value, ",");
        int found = -1;
        if (!strncmp(value, "MIG-", 4)) {
            for (int i = 0; i < gpu_count; i++)
                if (gpus[i].parent >= 0 && strlen(gpus[i].uuid) == length && !strncmp(gpus[i].uuid, value, length)) found = i;
            if (found >= 0) { visible[0] = found; visible_count = 1; }
            return; /* one slice, and nothing beside it */
        } else if (!strncmp(value, "GPU-", 4)) {
            for (int i = 0; i < count; i++)
                if (!strncmp(gpus[all[i]].uuid, value, length)) found = found == -1 ? all[i] : -2;
        } else {
            char *end;
            long index = strtol(value, &end, 10);
            if (end != value && index >= 0 && index < count) found = all[index];
            if (end != value && first_slice >= 0 && index == 0) found = first_slice;
        }
        if (found < 0) return; /* the first invalid entry ends the list */
        for (int i = 0; i < visible_count; i++)
            if (visible[i] == found) { visible_count = 0; return; }
        visible[visible_count++] = found;
        value += length;
        if (*value) value++;
    }
}

int cuDriverGetVersion(int *version) { ENTER; *version = cuda_version; return 0; }

int cuInit(unsigned flags) {
    (void)flags;
    if (initialised_by && initialised_by != getpid()) { enter(__func__); return 3; }
    ENTER;
    if (!initialised_by) { decide_visible(); initialised_by = getpid(); }
    return visible_count ? 0 : 100;
}

int cuDeviceGetCount(int *count) { ENTER; if (ready()) return 3; *count = visible_count; return 0; }

int cuDeviceGet(int *device, int ordinal) {
    ENTER;
    if (ready()) return 3;
    if (ordinal < 0 || ordinal >= visible_count) return 101;
    *device = ordinal;
    return 0;
}

static struct gpu *at(int device) { return ready() || device < 0 || device >= visible_count ? NULL : &gpus[visible[device]]; }

int cuDeviceGetName(char *name, int length, int device) {
    ENTER;
    if (!at(device)) return 101;
    snprintf(name, (size_t)length, "%s", at(device)->name);
    return 0;
}

int cuDeviceGetUuid_v2(unsigned char *uuid, int device) {
    ENTER;
    if (!at(device)) return 101;
    const char *c = at(device)->uuid + 4;
    for (int i = 0; i < 16; i++) {
        while (*c == '-') c++;
        unsigned byte = 0;
        sscanf(c, "%2x", &byte);
        uuid[i] = (unsigned char)byte;
        c += *c ? 2 : 0;
    }
    return 0;
}

int cuDeviceGetPCIBusId(char *text, int length, int device) {
    ENTER;
    if (!at(device)) return 101;
    snprintf(text, (size_t)length, "%s", at(device)->pci);
    return 0;
}

int cuDeviceTotalMem_v2(size_t *bytes, int device) {
    ENTER;
    if (!at(device)) return 101;
    *bytes = (size_t)at(device)->memory << 20;
    return 0;
}

int cuDeviceGetAttribute(int *value, int attribute, int device) {
    ENTER;
    struct gpu *g = at(device);
    if (!g) return 101;
    switch (attribute) {
    case 16: *value = g->sm; return 0;
    case 18: *value = g->integrated; return 0;
    case 75: *value = g->major; return 0;
    case 76: *value = g->minor; return 0;
    default: return 1;
    }
}

/* Contexts and code: never to be called by a probe, whose tests look for "Ctx" in the log. */
#include "loader.h"
