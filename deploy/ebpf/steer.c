// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Opens the sidecar's listener, has the kernel give it the connections for the service's port (steer.bpf.c), gives up root,
// and becomes the sidecar, which finds the listener as systemd would pass it (LISTEN_FDS). Program and map stay pinned: while
// the sidecar is down its clients are refused.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <grp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#define BPF_FILE_SYSTEM 0xcafe4a11
#define FIRST_PASSED 3
#define BACKLOG 4096
#define PATH_LENGTH 512

/* The compiled program, in this file's own. */
__asm__(".section .rodata\n"
	".balign 8\n"
	"steer_object:\n"
	".incbin \"" STEER_OBJECT "\"\n"
	"steer_object_end:\n"
	".byte 0\n"
	".previous\n");
extern const char steer_object[], steer_object_end[];

struct settings {
	uint16_t port;
	uint16_t to;
	uid_t uid;
	const char *folder;
};

static _Noreturn void fail(const char *format, ...)
{
	va_list values;

	va_start(values, format);
	fputs("outrigger-steer: ", stderr);
	vfprintf(stderr, format, values);
	fputc('\n', stderr);
	va_end(values);
	exit(1);
}

static unsigned long number(const char *name, const char *text, unsigned long least, unsigned long most)
{
	char *end = NULL;
	unsigned long value;

	errno = 0;
	value = strtoul(text, &end, 10);
	if (errno != 0 || *text < '0' || *text > '9' || *end != '\0' || value < least || value > most)
		fail("%s must be an integer from %lu to %lu, not %s", name, least, most, text);
	return value;
}

static void pin_path(char path[PATH_LENGTH], const struct settings *settings, const char *name)
{
	if (snprintf(path, PATH_LENGTH, "%s/outrigger-%u-%s", settings->folder, settings->port, name) >= PATH_LENGTH)
		fail("the name of the folder for pins is too long: %s", settings->folder);
}

/*
 * Until it is closed no other start changes the pins. Nothing is mounted here: over a folder of yours that would hide what is in
 * it. Where others may write they could take the pins' names first, or lead to other pins by links.
 */
static int lock_pins(const char *folder)
{
	struct statfs found;
	struct stat its;
	int lock = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (lock < 0 || fstatfs(lock, &found) != 0 || (unsigned int)found.f_type != BPF_FILE_SYSTEM)
		fail("%s is no BPF file system: mount -t bpf -o mode=0700 bpf /sys/fs/bpf, or name another one with --pins", folder);
	if (fstat(lock, &its) != 0 || its.st_uid != geteuid() || (its.st_mode & (S_IWGRP | S_IWOTH)) != 0)
		fail("others may write to %s: chown root %s && chmod 0700 %s, or name another folder with --pins", folder,
		     folder, folder);
	if (flock(lock, LOCK_EX) != 0)
		fail("%s cannot be locked: %s", folder, strerror(errno));
	return lock;
}

static struct bpf_object *load(const struct settings *settings)
{
	size_t size = 0;
	struct bpf_object *object = bpf_object__open_mem(steer_object, steer_object_end - steer_object, NULL);
	struct bpf_map *constants = object == NULL ? NULL : bpf_object__find_map_by_name(object, ".rodata");
	uint16_t *port = constants == NULL ? NULL : (uint16_t *)bpf_map__initial_value(constants, &size);

	if (port == NULL || size != sizeof(*port))
		fail("the program inside this file is not one that it knows: build it again");
	*port = settings->port;
	if (bpf_object__load(object) != 0)
		fail("the kernel does not take the program (%s): it takes Linux 5.17 and CAP_BPF with CAP_NET_ADMIN; "
		     "outrigger intercept install does the same by nftables", strerror(errno));
	return object;
}

static int open_listener(uint16_t port)
{
	const int on = 1, off = 0;
	struct sockaddr_in6 six = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	struct sockaddr_in four = { .sin_family = AF_INET, .sin_port = htons(port) };
	int listener = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int bound;

	if (listener >= 0) {
		setsockopt(listener, IPPROTO_IPV6, 26 /* IPV6_V6ONLY */, &off, sizeof(off));
		setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
		bound = bind(listener, (struct sockaddr *)&six, sizeof(six));
	} else {
		/* A kernel without IPv6. */
		listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
		bound = bind(listener, (struct sockaddr *)&four, sizeof(four));
	}
	if (listener < 0 || bound != 0 || listen(listener, BACKLOG) != 0)
		fail("port %u cannot be listened on: %s", port, strerror(errno));
	return listener;
}

/* Whether the pinned link is of this network: pins are seen from others, too. */
static void require_own_network(int link, const char *path)
{
	struct bpf_link_info info = {};
	uint32_t length = sizeof(info);
	struct stat own;

	if (bpf_obj_get_info_by_fd(link, &info, &length) != 0 || stat("/proc/self/ns/net", &own) != 0)
		fail("%s cannot be looked at: %s", path, strerror(errno));
	if (info.type != BPF_LINK_TYPE_NETNS || info.netns.netns_ino != own.st_ino)
		fail("%s is of another network namespace: name another folder with --pins", path);
}

/* The map of listeners, of what is pinned, or else of what is loaded, attached and pinned now. */
static int attached_map(const struct settings *settings)
{
	char link_path[PATH_LENGTH], map_path[PATH_LENGTH];
	struct bpf_object *object;
	struct bpf_program *program;
	struct bpf_link *link;
	int network, pinned;

	pin_path(link_path, settings, "link");
	pin_path(map_path, settings, "listeners");
	pinned = bpf_obj_get(link_path);
	if (pinned >= 0) {
		require_own_network(pinned, link_path);
		close(pinned);
		pinned = bpf_obj_get(map_path);
		if (pinned < 0)
			fail("%s is not there, though its link is: outrigger-steer --remove, then start again", map_path);
		return pinned;
	}
	unlink(map_path);
	object = load(settings);
	program = bpf_object__find_program_by_name(object, "steer");
	network = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	if (network < 0 || program == NULL)
		fail("this network namespace cannot be opened: %s", strerror(errno));
	pinned = bpf_object__find_map_fd_by_name(object, "listeners");
	if (pinned < 0 || bpf_obj_pin(pinned, map_path) != 0)
		fail("%s cannot be made: %s", map_path, strerror(errno));
	link = bpf_program__attach_netns(program, network);
	if (link == NULL || bpf_link__pin(link, link_path) != 0) {
		unlink(map_path);
		fail("the program cannot be attached to this network: %s", strerror(errno));
	}
	return pinned;
}

static void give_up_root(uid_t uid)
{
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || setgroups(0, NULL) != 0 || setgid(uid) != 0 ||
	    setuid(uid) != 0 || setuid(0) == 0)
		fail("root cannot be given up for user %u: %s", uid, strerror(errno));
}

static _Noreturn void become(char *const command[], int listener)
{
	char self[16];

	if (listener == FIRST_PASSED ? fcntl(listener, F_SETFD, 0) != 0 : dup2(listener, FIRST_PASSED) < 0)
		fail("the listener cannot be passed on: %s", strerror(errno));
	snprintf(self, sizeof(self), "%d", (int)getpid());
	setenv("LISTEN_FDS", "1", 1);
	setenv("LISTEN_FDNAMES", "listen", 1);
	setenv("LISTEN_PID", self, 1);
	execvp(command[0], command);
	fail("%s cannot be started: %s", command[0], strerror(errno));
}

static int remove_pins(const struct settings *settings)
{
	char path[PATH_LENGTH];
	const char *names[] = { "link", "listeners" };

	for (int at = 0; at < 2; at++) {
		pin_path(path, settings, names[at]);
		if (unlink(path) != 0 && errno != ENOENT)
			fail("%s cannot be removed: %s", path, strerror(errno));
	}
	return 0;
}

static const char usage[] =
	"outrigger-steer --port PORT [--to PORT] [--uid UID] [--pins FOLDER] -- COMMAND [ARGUMENT...]\n"
	"                --port PORT [--pins FOLDER] --try | --attach | --remove\n"
	"  --port    the service's port, which the sidecar is to have\n"
	"  --to      port that the sidecar's listener is bound to besides: 8080\n"
	"  --uid     user that COMMAND runs as: 65532\n"
	"  --pins    folder of a BPF file system: /sys/fs/bpf\n"
	"  --try     only load the program, and say whether the kernel takes it\n"
	"  --attach  refuse what comes from outside from now on, until a COMMAND is started\n"
	"  --remove  take everything away: the service's port answers by itself again\n";

int main(int count, char *arguments[])
{
	struct settings settings = { .to = 8080, .uid = 65532, .folder = "/sys/fs/bpf" };
	const struct option options[] = {
		{ "port", required_argument, NULL, 'p' },  { "to", required_argument, NULL, 't' },
		{ "uid", required_argument, NULL, 'u' },   { "pins", required_argument, NULL, 'f' },
		{ "try", no_argument, NULL, 'y' },	   { "remove", no_argument, NULL, 'r' },
		{ "attach", no_argument, NULL, 'a' },	   { "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	int option, lock, listener, map, only = 0;
	const uint32_t first = 0;
	uint64_t value;

	while ((option = getopt_long(count, arguments, "+", options, NULL)) != -1) {
		switch (option) {
		case 'p': settings.port = number("--port", optarg, 1, 65535); break;
		case 't': settings.to = number("--to", optarg, 1, 65535); break;
		case 'u': settings.uid = number("--uid", optarg, 1, 4294967294UL); break;
		case 'f': settings.folder = optarg; break;
		case 'y': case 'a': case 'r': only = option; break;
		case 'h': fputs(usage, stdout); return 0;
		default: fputs(usage, stderr); return 2;
		}
	}
	if (settings.port == 0 || (only == 0 && optind >= count)) {
		fputs(usage, stderr);
		return 2;
	}
	if (settings.port == settings.to)
		fail("the sidecar and the service have the same port %u: give the sidecar another one with --to", settings.port);
	libbpf_set_strict_mode(LIBBPF_STRICT_ALL);
	libbpf_set_print(NULL);
	lock = lock_pins(settings.folder);
	if (only == 'r')
		return remove_pins(&settings);
	if (only == 'y') {
		bpf_object__close(load(&settings));
		return 0;
	}
	/* First: from here on nobody comes past the sidecar, whatever fails. */
	map = attached_map(&settings);
	if (only == 'a')
		return 0;
	listener = open_listener(settings.to);
	value = (uint64_t)listener;
	if (bpf_map_update_elem(map, &first, &value, BPF_ANY) != 0)
		fail("the listener cannot be given the connections: %s", strerror(errno));
	close(map);
	close(lock);
	give_up_root(settings.uid);
	become(arguments + optind, listener);
}
