/*
 * An NFS client that makes one kind of call for some seconds and tells how
 * many it made: what `bench` measures NFS servers with. It uses libnfs (Debian
 * package libnfs-dev), so that the measure is nobody's own code.
 *
 *   client SERVER NFSPORT MOUNTPORT PATH SOURCE OPERATION SECONDS DEPTH
 *
 * SOURCE is the address that it calls from, DEPTH the number of calls that are
 * under way at once. It prints "calls bytes seconds".
 *
 *   prepare  makes a file of FILE_BYTES and LOOKUP_NAMES empty ones
 *   read     reads that file, TRANSFER bytes a call
 *   write    writes it, as a client's page cache does: unstable
 *   lookup   looks up the names
 *   create   makes new files
 */
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include <nfsc/libnfs.h>
#include <nfsc/libnfs-raw.h>
#include <nfsc/libnfs-raw-mount.h>
#include <nfsc/libnfs-raw-nfs.h>

enum { TRANSFER = 1 << 20, FILE_BYTES = 32 << 20, LOOKUP_NAMES = 500, HANDLE = 64 };

static void die(const char *what, const char *why) {
	fprintf(stderr, "nfs client: %s: %s\n", what, why);
	exit(1);
}

static struct in_addr source;

/* libnfs binds its sockets to ports of its own; this adds the address. */
int bind(int fd, const struct sockaddr *addr, socklen_t len) {
	static int (*real)(int, const struct sockaddr *, socklen_t);
	struct sockaddr_storage copy;
	if (real == NULL)
		real = (int (*)(int, const struct sockaddr *, socklen_t))dlsym(RTLD_NEXT, "bind");
	memcpy(&copy, addr, len);
	if (copy.ss_family == AF_INET)
		((struct sockaddr_in *)&copy)->sin_addr = source;
	return real(fd, (struct sockaddr *)&copy, len);
}

struct handle {
	unsigned len;
	char data[HANDLE];
};

static void keep(struct handle *h, unsigned len, const char *data) {
	if (len > HANDLE)
		die("handle", "too long");
	h->len = len;
	memcpy(h->data, data, len);
}

static nfs_fh3 fh(struct handle *h) {
	nfs_fh3 f;
	f.data.data_len = h->len;
	f.data.data_val = h->data;
	return f;
}

static struct rpc_context *rpc;
static struct handle root, file;
static int under_way;
static uint64_t calls, bytes;

static void serve(void) {
	struct pollfd p = {.fd = rpc_get_fd(rpc), .events = rpc_which_events(rpc)};
	if (poll(&p, 1, 30000) <= 0)
		die("waiting for the server", "no answer within 30 s");
	if (rpc_service(rpc, p.revents) < 0)
		die("talking to the server", rpc_get_error(rpc));
}

static int answered; /* by calls that are waited for */

static void wait_for(int queued) {
	if (queued != 0)
		die("making a call", rpc_get_error(rpc));
	answered = 0;
	while (!answered)
		serve();
}

static void connected(struct rpc_context *r, int status, void *data, void *private) {
	(void)private;
	if (status != RPC_STATUS_SUCCESS)
		die("connecting", data ? (char *)data : rpc_get_error(r));
	answered = 1;
}

static void mounted(struct rpc_context *r, int status, void *data, void *private) {
	struct mountres3 *res = data;
	(void)private;
	if (status != RPC_STATUS_SUCCESS)
		die("mounting", rpc_get_error(r));
	if (res->fhs_status != MNT3_OK)
		die("mounting", "refused");
	keep(&root, res->mountres3_u.mountinfo.fhandle.fhandle3_len, res->mountres3_u.mountinfo.fhandle.fhandle3_val);
	answered = 1;
}

/* done counts a call; nfs_status is that of its reply. */
static void done(struct rpc_context *r, int status, int nfs_status, uint64_t moved) {
	if (status != RPC_STATUS_SUCCESS)
		die("a call", rpc_get_error(r));
	if (nfs_status != NFS3_OK)
		die("a call", nfsstat3_to_str(nfs_status));
	under_way--;
	calls++;
	bytes += moved;
	answered = 1;
}

static void read_done(struct rpc_context *r, int status, void *data, void *private) {
	READ3res *res = data;
	(void)private;
	done(r, status, status ? 0 : res->status, status ? 0 : res->READ3res_u.resok.count);
}

static void write_done(struct rpc_context *r, int status, void *data, void *private) {
	WRITE3res *res = data;
	(void)private;
	done(r, status, status ? 0 : res->status, status ? 0 : res->WRITE3res_u.resok.count);
}

static void commit_done(struct rpc_context *r, int status, void *data, void *private) {
	COMMIT3res *res = data;
	(void)private;
	done(r, status, status ? 0 : res->status, 0);
}

static void lookup_done(struct rpc_context *r, int status, void *data, void *private) {
	LOOKUP3res *res = data;
	struct handle *to = private;
	if (status == RPC_STATUS_SUCCESS && res->status == NFS3_OK && to != NULL)
		keep(to, res->LOOKUP3res_u.resok.object.data.data_len, res->LOOKUP3res_u.resok.object.data.data_val);
	done(r, status, status ? 0 : res->status, 0);
}

static void create_done(struct rpc_context *r, int status, void *data, void *private) {
	CREATE3res *res = data;
	(void)private;
	done(r, status, status ? 0 : res->status, 0);
}

static int call_read(uint64_t n) {
	READ3args a = {.file = fh(&file), .offset = n * TRANSFER % FILE_BYTES, .count = TRANSFER};
	return rpc_nfs3_read_async(rpc, read_done, &a, NULL);
}

static char block[TRANSFER];

static int call_write(uint64_t n) {
	WRITE3args a = {.file = fh(&file), .offset = n * TRANSFER % FILE_BYTES, .count = TRANSFER, .stable = UNSTABLE};
	a.data.data_len = TRANSFER;
	a.data.data_val = block;
	return rpc_nfs3_write_async(rpc, write_done, &a, NULL);
}

static int lookup_name(char *name, struct handle *to) {
	LOOKUP3args a = {.what = {.dir = fh(&root), .name = name}};
	return rpc_nfs3_lookup_async(rpc, lookup_done, &a, to);
}

static int call_lookup(uint64_t n) {
	char name[32];
	snprintf(name, sizeof name, "f%u", (unsigned)(n % LOOKUP_NAMES));
	return lookup_name(name, NULL);
}

static int create_name(char *name) {
	CREATE3args a;
	memset(&a, 0, sizeof a);
	a.where.dir = fh(&root);
	a.where.name = name;
	a.how.mode = GUARDED;
	a.how.createhow3_u.g_obj_attributes.mode.set_it = 1;
	a.how.createhow3_u.g_obj_attributes.mode.set_mode3_u.mode = 0644;
	return rpc_nfs3_create_async(rpc, create_done, &a, NULL);
}

static long started;

static int call_create(uint64_t n) {
	char name[64];
	snprintf(name, sizeof name, "new-%ld-%llu", started, (unsigned long long)n);
	return create_name(name);
}

static double now(void) {
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

/* run makes calls until the time is over or there were enough. */
static void run(int (*call)(uint64_t), double seconds, int depth, uint64_t most) {
	double end = now() + seconds;
	uint64_t n = 0;
	calls = bytes = 0;
	while (under_way > 0 || (n < most && now() < end)) {
		while (under_way < depth && n < most && now() < end) {
			under_way++;
			if (call(n++) != 0)
				die("making a call", rpc_get_error(rpc));
		}
		if (under_way > 0)
			serve();
	}
}

static struct rpc_context *connect_to(const char *server, int port, int program, int version) {
	rpc = rpc_init_context();
	wait_for(rpc_connect_port_async(rpc, server, port, program, version, connected, NULL));
	return rpc;
}

int main(int argc, char **argv) {
	if (argc != 9)
		die("usage", "client SERVER NFSPORT MOUNTPORT PATH SOURCE OPERATION SECONDS DEPTH");
	if (inet_pton(AF_INET, argv[5], &source) != 1)
		die(argv[5], "no address");
	const char *op = argv[6];
	double seconds = atof(argv[7]);
	int depth = atoi(argv[8]);
	struct timeval tv;
	gettimeofday(&tv, NULL);
	started = tv.tv_sec * 1000000L + tv.tv_usec;

	connect_to(argv[1], atoi(argv[3]), MOUNT_PROGRAM, MOUNT_V3);
	wait_for(rpc_mount3_mnt_async(rpc, mounted, argv[4], NULL));
	rpc_disconnect(rpc, "mounted");
	rpc_destroy_context(rpc);
	connect_to(argv[1], atoi(argv[2]), NFS_PROGRAM, NFS_V3);

	if (strcmp(op, "prepare") == 0) {
		char name[32];
		under_way = 1;
		wait_for(create_name("big"));
		for (int i = 0; i < LOOKUP_NAMES; i++) {
			snprintf(name, sizeof name, "f%d", i);
			under_way = 1;
			wait_for(create_name(name));
		}
	}
	under_way = 1;
	wait_for(lookup_name("big", &file));
	under_way = 0;

	double began = now();
	if (strcmp(op, "prepare") == 0) {
		run(call_write, 1e9, depth, FILE_BYTES / TRANSFER);
		COMMIT3args a = {.file = fh(&file)};
		under_way = 1;
		wait_for(rpc_nfs3_commit_async(rpc, commit_done, &a, NULL));
	} else if (strcmp(op, "read") == 0) {
		run(call_read, seconds, depth, UINT64_MAX);
	} else if (strcmp(op, "write") == 0) {
		run(call_write, seconds, depth, UINT64_MAX);
	} else if (strcmp(op, "lookup") == 0) {
		run(call_lookup, seconds, depth, UINT64_MAX);
	} else if (strcmp(op, "create") == 0) {
		run(call_create, seconds, depth, UINT64_MAX);
	} else {
		die(op, "no such operation");
	}
	printf("%llu %llu %.6f\n", (unsigned long long)calls, (unsigned long long)bytes, now() - began);
	return 0;
}
