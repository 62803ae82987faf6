/* The fleet of the simulated driver: read from the file that FAKE_CUDA_FLEET names.
 *
 *   driver 580.65.06            release that NVML names
 *   cuda 13000                  what cuDriverGetVersion says
 *   fail FUNCTION CODE          this function returns CODE
 *   hang FUNCTION               this function never returns
 *   abort FUNCTION              this function ends the process
 *   exit FUNCTION CODE          so does this one, as if nothing were wrong where CODE is 0
 *   print FUNCTION BYTES        it prints that many bytes, to standard output and standard error each
 *   flood FUNCTION BYTES        it writes that many bytes into every other pipe of its process
 *   answer FUNCTION TEXT        it writes TEXT, a line, into every other pipe of its process
 *   fork FUNCTION               it leaves a process behind, which holds every file of this one for a minute
 *   delay FUNCTION MILLISECONDS this function takes that long
 *   gpu cc=8.6 uuid=GPU-… pci=0000:41:00.0 name=NVIDIA_GeForce_RTX_3090 memory=24576 sm=82 speed=2
 *   slice uuid=MIG-… name=NVIDIA_A100_MIG_1g.5gb memory=4864 sm=14      of the gpu line before it
 *
 * A gpu line may say integrated=1, mig=1, nvml_cc=8.9 (what NVML claims instead), refused=CODE (NVML gives no
 * handle), nomemory=1 (NVML knows no memory). An underscore in a name stands for a space. NVML's index is the
 * order of the file. Every call is logged as "pid function" to the file that FAKE_CUDA_LOG names.
 */
#include <ctype.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MOST 64

struct gpu {
    int major, minor, nvml_major, nvml_minor, sm, speed, integrated, mig, refused, nomemory, parent;
    unsigned long long memory; /* MiB */
    char uuid[96], pci[32], name[96];
};

static struct gpu gpus[MOST];
static int gpu_count;
static char driver_release[64] = "0.0";
static int cuda_version;

static FILE *open_fleet(void) {
    const char *path = getenv("FAKE_CUDA_FLEET");
    return path ? fopen(path, "r") : NULL;
}

static void read_gpu(char *line, int parent) {
    struct gpu *g = &gpus[gpu_count++];
    memset(g, 0, sizeof *g);
    g->parent = parent;
    if (parent >= 0) { *g = gpus[parent]; g->parent = parent; g->mig = 0; }
    for (char *item = strtok(line, " \n"); item; item = strtok(NULL, " \n")) {
        char *value = strchr(item, '=');
        if (!value) continue;
        *value++ = 0;
        if (!strcmp(item, "cc")) { sscanf(value, "%d.%d", &g->major, &g->minor); g->nvml_major = g->major; g->nvml_minor = g->minor; }
        else if (!strcmp(item, "nvml_cc")) sscanf(value, "%d.%d", &g->nvml_major, &g->nvml_minor);
        else if (!strcmp(item, "uuid")) snprintf(g->uuid, sizeof g->uuid, "%s", value);
        else if (!strcmp(item, "pci")) snprintf(g->pci, sizeof g->pci, "%s", value);
        else if (!strcmp(item, "name")) {
            snprintf(g->name, sizeof g->name, "%s", value);
            for (char *c = g->name; *c; c++) if (*c == '_') *c = ' ';
        }
        else if (!strcmp(item, "memory")) g->memory = strtoull(value, NULL, 10);
        else if (!strcmp(item, "sm")) g->sm = atoi(value);
        else if (!strcmp(item, "speed")) g->speed = atoi(value);
        else if (!strcmp(item, "integrated")) g->integrated = atoi(value);
        else if (!strcmp(item, "mig")) g->mig = atoi(value);
        else if (!strcmp(item, "refused")) g->refused = atoi(value);
        else if (!strcmp(item, "nomemory")) g->nomemory = atoi(value);
    }
}

static void read_fleet(void) {
    static int done;
    if (done) return;
    done = 1;
    FILE *file = open_fleet();
    char line[512];
    int last = -1;
    while (file && fgets(line, sizeof line, file) && gpu_count < MOST) {
        if (!strncmp(line, "driver ", 7)) sscanf(line + 7, "%63s", driver_release);
        else if (!strncmp(line, "cuda ", 5)) cuda_version = atoi(line + 5);
        else if (!strncmp(line, "gpu ", 4)) { last = gpu_count; read_gpu(line + 4, -1); }
        else if (!strncmp(line, "slice ", 6)) read_gpu(line + 6, last);
    }
    if (file) fclose(file);
}

/* Writes *text* repeatedly, *bytes* of it in all, into the files from *first* to *last* that are pipes, or into all. */
static void write_into(int first, int last, int pipes_only, const char *text, size_t bytes) {
    struct stat about;
    for (int file = first; file <= last; file++) {
        if (fstat(file, &about) || (pipes_only && !S_ISFIFO(about.st_mode))) continue;
        for (size_t done = 0, length = strlen(text); done < bytes; done += length)
            if (write(file, text, length < bytes - done ? length : bytes - done) < 0) break; /* the end that is read */
    }
}

static void leave_process(void) {
    if (fork()) return;
    usleep(60000000);
    _exit(0);
}

/* Logs a call and does what the fleet file says about it: its result, or 0. */
static int enter(const char *function) {
    const char *path = getenv("FAKE_CUDA_LOG");
    if (path) {
        char text[128];
        int length = snprintf(text, sizeof text, "%d %s\n", (int)getpid(), function);
        int log = open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);
        if (log >= 0) { if (write(log, text, (size_t)length) < 0) abort(); close(log); }
    }
    read_fleet();
    int result = 0;
    FILE *file = open_fleet();
    char line[512], verb[32], name[64];
    while (file && fgets(line, sizeof line, file)) {
        int number = 0;
        if (sscanf(line, "%31s %63s %d", verb, name, &number) < 2 || strcmp(name, function)) continue;
        if (!strcmp(verb, "fail")) result = number;
        else if (!strcmp(verb, "hang")) for (;;) pause();
        else if (!strcmp(verb, "abort")) abort();
        else if (!strcmp(verb, "exit")) exit(number);
        else if (!strcmp(verb, "print")) write_into(1, 2, 0, "the driver has something to say\n", (size_t)number);
        else if (!strcmp(verb, "flood")) write_into(3, 1023, 1, "the driver has something to say\n", (size_t)number);
        else if (!strcmp(verb, "answer")) {
            const char *text = strstr(line, name) + strlen(name) + 1;
            write_into(3, 1023, 1, text, strlen(text));
        }
        else if (!strcmp(verb, "fork")) leave_process();
        else if (!strcmp(verb, "delay")) usleep((useconds_t)number * 1000);
    }
    if (file) fclose(file);
    return result;
}
#define ENTER do { int code = enter(__func__); if (code) return code; } while (0)
