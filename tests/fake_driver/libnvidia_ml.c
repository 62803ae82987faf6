/* A stand-in for libnvidia-ml.so.1. It knows nothing of CUDA_VISIBLE_DEVICES; its index is the order of the file. */
#include "fleet.h"

typedef struct gpu *handle;
struct pci { char legacy[16]; unsigned domain, bus, device, ids[2]; char text[32]; };
struct memory { unsigned long long total, free, used; };
enum { INVALID = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6, UNINITIALIZED = 1 };

static int initialised;

int nvmlInit_v2(void) { ENTER; initialised++; return 0; }
int nvmlShutdown(void) { ENTER; if (!initialised) return UNINITIALIZED; initialised--; return 0; }

int nvmlSystemGetDriverVersion(char *text, unsigned length) {
    ENTER;
    if (!initialised) return UNINITIALIZED;
    snprintf(text, length, "%s", driver_release);
    return 0;
}

int nvmlDeviceGetCount_v2(unsigned *count) {
    ENTER;
    if (!initialised) return UNINITIALIZED;
    *count = 0;
    for (int i = 0; i < gpu_count; i++) *count += gpus[i].parent < 0;
    return 0;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, handle *found) {
    ENTER;
    for (int i = 0; i < gpu_count; i++)
        if (gpus[i].parent < 0 && index-- == 0) { *found = &gpus[i]; return gpus[i].refused; }
    return INVALID;
}

int nvmlDeviceGetUUID(handle g, char *text, unsigned length) { ENTER; snprintf(text, length, "%s", g->uuid); return 0; }
int nvmlDeviceGetName(handle g, char *text, unsigned length) { ENTER; snprintf(text, length, "%s", g->name); return 0; }

int nvmlDeviceGetCudaComputeCapability(handle g, int *major, int *minor) {
    ENTER;
    *major = g->nvml_major;
    *minor = g->nvml_minor;
    return 0;
}

int nvmlDeviceGetPciInfo_v3(handle g, struct pci *pci) {
    ENTER;
    memset(pci, 0, sizeof *pci);
    snprintf(pci->text, sizeof pci->text, "0000%s", g->pci); /* NVML writes eight digits of the domain */
    for (char *c = pci->text; *c; c++) *c = (char)toupper(*c);
    return 0;
}

int nvmlDeviceGetMemoryInfo(handle g, struct memory *memory) {
    ENTER;
    if (g->nomemory) return NOT_SUPPORTED;
    memory->total = g->memory << 20;
    return 0;
}

int nvmlDeviceGetMigMode(handle g, unsigned *current, unsigned *pending) {
    ENTER;
    if (g->major < 8 || g->minor) return NOT_SUPPORTED;
    *current = *pending = (unsigned)g->mig;
    return 0;
}

int nvmlDeviceGetMaxMigDeviceCount(handle g, unsigned *count) { (void)g; ENTER; *count = 7; return 0; }

int nvmlDeviceGetMigDeviceHandleByIndex(handle g, unsigned index, handle *found) {
    ENTER;
    for (int i = 0; i < gpu_count; i++)
        if (gpus[i].parent == (int)(g - gpus) && index-- == 0) { *found = &gpus[i]; return 0; }
    return NOT_FOUND;
}
