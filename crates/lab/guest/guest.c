/* The whole user space of a lab guest: pid 1 of a small virtual machine.
 *
 * It loads the virtio modules, takes its address from the kernel command line, and then does four
 * things in one loop, so that what the lab measures is what a real workload would feel:
 *   heartbeats  UDP to the lab, 10 a second unless told otherwise: (uuid, boot nonce, counter)  -> "never on two hosts"
 *   ticks       TCP 7701: one numbered line per tick period to every client -> gaps, lost ticks
 *   orders      TCP 7702: "cpu PERCENT SECONDS", "dirty MIB_PER_S SECONDS", "write MIB_PER_S SECONDS", "stop", "poweroff"
 *   power key   an ACPI power button press ends it cleanly, as in a real guest
 * Load really burns CPU and really dirties memory, in child processes of lower priority.
 *
 * Kernel command line: lab.ip=A lab.mask=M lab.hub=A lab.uuid=U lab.tick=MS lab.beat=MS
 * Built with: gcc -static -Os guest.c
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/input.h>
#include <net/if.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define HEARTBEAT_PORT 7700
#define TICK_PORT 7701
#define ORDER_PORT 7702
#define MAX_CLIENTS 16
#define DIRTY_REGION (24u << 20) /* fits a 96 MiB guest */

static char cmdline[2048];

static void say(const char *what)
{
	fprintf(stderr, "lab-guest: %s: %s\n", what, strerror(errno));
}

static long long now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ll + t.tv_nsec;
}

static void load_modules(void)
{
	char line[256];
	FILE *order = fopen("/modules/order", "r");
	if (!order)
		return;
	while (fgets(line, sizeof line, order)) {
		line[strcspn(line, "\n")] = 0;
		int fd = open(line, O_RDONLY | O_CLOEXEC);
		if (fd < 0 || (syscall(SYS_finit_module, fd, "", 0) < 0 && errno != EEXIST))
			say(line);
		if (fd >= 0)
			close(fd);
	}
	fclose(order);
}

/* The value of `key=` on the kernel command line, or `dflt`. */
static const char *arg(const char *key, char *buf, size_t len, const char *dflt)
{
	size_t k = strlen(key);
	const char *p = cmdline;
	snprintf(buf, len, "%s", dflt);
	while (*p) {
		size_t w = strcspn(p, " \n");
		if (w > k && !strncmp(p, key, k) && p[k] == '=') {
			snprintf(buf, len, "%.*s", (int)(w - k - 1), p + k + 1);
			return buf;
		}
		p += w;
		p += strspn(p, " \n");
	}
	return buf;
}

static void interface_up(const char *name, const char *ip, const char *mask)
{
	struct ifreq r;
	struct sockaddr_in *a = (struct sockaddr_in *)&r.ifr_addr;
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	for (int i = 0; i < 200; i++) { /* the NIC appears a moment after its driver */
		memset(&r, 0, sizeof r);
		snprintf(r.ifr_name, sizeof r.ifr_name, "%s", name);
		if (ioctl(fd, SIOCGIFFLAGS, &r) == 0)
			break;
		usleep(10000);
	}
	if (ip) {
		a->sin_family = AF_INET;
		inet_pton(AF_INET, ip, &a->sin_addr);
		if (ioctl(fd, SIOCSIFADDR, &r) < 0)
			say("address");
		inet_pton(AF_INET, mask, &a->sin_addr);
		if (ioctl(fd, SIOCSIFNETMASK, &r) < 0)
			say("netmask");
	}
	if (ioctl(fd, SIOCGIFFLAGS, &r) < 0)
		say(name);
	r.ifr_flags |= IFF_UP;
	if (ioctl(fd, SIOCSIFFLAGS, &r) < 0)
		say("up");
	close(fd);
}

static int listen_on(int port)
{
	int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(port) };
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (bind(fd, (struct sockaddr *)&a, sizeof a) < 0 || listen(fd, 16) < 0)
		say("listen");
	return fd;
}

static void parse_uuid(const char *s, uint8_t out[16])
{
	int n = 0;
	for (; *s && n < 32; s++) {
		int v;
		if (*s >= '0' && *s <= '9')
			v = *s - '0';
		else if ((*s | 32) >= 'a' && (*s | 32) <= 'f')
			v = (*s | 32) - 'a' + 10;
		else
			continue;
		out[n / 2] = (uint8_t)(n % 2 ? out[n / 2] | v : v << 4);
		n++;
	}
}

static void put64(uint8_t *p, uint64_t v)
{
	for (int i = 7; i >= 0; i--, v >>= 8)
		p[i] = (uint8_t)v;
}

/* Burns `percent` of one CPU: busy for that share of each 50 ms. */
static void burn_cpu(int percent, int seconds)
{
	volatile unsigned x = 1;
	long long end = now_ns() + seconds * 1000000000ll, slice = 50000000ll;
	setpriority(PRIO_PROCESS, 0, 10);
	while (now_ns() < end) {
		long long t = now_ns(), stop = t + slice * percent / 100;
		while (now_ns() < stop)
			for (int i = 0; i < 20000; i++)
				x = x * 1664525u + 1013904223u;
		if (percent < 100)
			usleep((useconds_t)((slice - slice * percent / 100) / 1000));
	}
	_exit(0);
}

/* Writes one word to `mib_s` MiB worth of pages each second, going round a fixed region. */
static void dirty_memory(int mib_s, int seconds)
{
	char *region = mmap(NULL, DIRTY_REGION, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	long long start = now_ns(), end = start + seconds * 1000000000ll;
	uint64_t done = 0;
	if (region == MAP_FAILED)
		_exit(1);
	setpriority(PRIO_PROCESS, 0, 10);
	for (;;) {
		long long t = now_ns();
		if (t >= end)
			break;
		uint64_t due = (uint64_t)((t - start) / 1000000) * (uint64_t)mib_s * 256 / 1000; /* pages */
		if (due > done + 4096)
			done = due - 4096; /* we were late: catch up a little, never for ever */
		for (; done < due; done++)
			*(volatile uint64_t *)(region + (done * 4096) % DIRTY_REGION) = done ^ (uint64_t)t;
		usleep(5000);
	}
	_exit(0);
}

/* Writes blocks of 64 KiB to the first disk, past every cache, going round it. An error ends nothing: what is to happen
 * then is the hypervisor's to say. */
static void write_disk(int mib_s, int seconds)
{
	static uint8_t block[64 << 10] __attribute__((aligned(4096)));
	long long start = now_ns(), end = start + seconds * 1000000000ll;
	int fd = open("/dev/vda", O_WRONLY | O_DIRECT | O_CLOEXEC);
	if (fd < 0)
		_exit(1);
	setpriority(PRIO_PROCESS, 0, 10);
	for (long long done = 0; now_ns() < end; done++) {
		memset(block, (int)done + 1, sizeof block);
		if (write(fd, block, sizeof block) <= 0)
			lseek(fd, 0, SEEK_SET);
		usleep((useconds_t)(1000000 / 16 / mib_s));
	}
	_exit(0);
}

static pid_t worker = -1;

/* A child that keeps none of the connections open. */
static int start_work(void)
{
	worker = fork();
	if (worker == 0)
		for (int fd = 3; fd < 256; fd++)
			close(fd);
	return worker == 0;
}

static void stop_work(void)
{
	if (worker > 0)
		kill(worker, SIGKILL);
	worker = -1;
}

static void order(int fd)
{
	char line[128];
	int a = 0, s = 0;
	struct timeval tv = { .tv_sec = 1 };
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv);
	ssize_t n = read(fd, line, sizeof line - 1);
	const char *answer = "ok\n";
	line[n > 0 ? n : 0] = 0;
	if (sscanf(line, "cpu %d %d", &a, &s) == 2 && a >= 0 && a <= 100 && s > 0) {
		stop_work();
		if (start_work())
			burn_cpu(a, s);
	} else if (sscanf(line, "dirty %d %d", &a, &s) == 2 && a >= 0 && a <= 4096 && s > 0) {
		stop_work();
		if (start_work())
			dirty_memory(a, s);
	} else if (sscanf(line, "write %d %d", &a, &s) == 2 && a > 0 && a <= 4096 && s > 0) {
		stop_work();
		if (start_work())
			write_disk(a, s);
	} else if (!strncmp(line, "stop", 4)) {
		stop_work();
	} else if (!strncmp(line, "poweroff", 8)) {
		reboot(RB_POWER_OFF);
	} else {
		answer = "bad order: cpu PERCENT SECONDS | dirty MIB_PER_S SECONDS | write MIB_PER_S SECONDS | stop | poweroff\n";
	}
	(void)!write(fd, answer, strlen(answer));
	close(fd);
}

int main(void)
{
	char ip[64], mask[64], hub[64], text[64];
	mount("devtmpfs", "/dev", "devtmpfs", 0, "");
	int console = open("/dev/console", O_RDWR);
	if (console >= 0)
		for (int i = 0; i < 3; i++)
			dup2(console, i);
	mount("proc", "/proc", "proc", 0, "");
	FILE *f = fopen("/proc/cmdline", "r");
	if (!f || !fgets(cmdline, sizeof cmdline, f))
		say("cmdline");
	if (f)
		fclose(f);
	load_modules();
	signal(SIGCHLD, SIG_IGN); /* children are reaped by the kernel */
	signal(SIGPIPE, SIG_IGN);

	interface_up("lo", NULL, NULL);
	interface_up("eth0", arg("lab.ip", ip, sizeof ip, "10.77.2.1"), arg("lab.mask", mask, sizeof mask, "255.255.0.0"));
	long long tick_ns = atoi(arg("lab.tick", text, sizeof text, "10")) * 1000000ll;
	long long beat_ns = atoi(arg("lab.beat", text, sizeof text, "100")) * 1000000ll;
	if (tick_ns < 1000000)
		tick_ns = 10000000;
	if (beat_ns < 1000000)
		beat_ns = 100000000;

	uint8_t beat[36] = "DMHB";
	uint64_t nonce = 0, counter = 0, seq = 0;
	syscall(SYS_getrandom, &nonce, sizeof nonce, 1 /* GRND_NONBLOCK */);
	nonce ^= (uint64_t)now_ns();
	/* early boot has little entropy: the processor's cycle counter tells two boots apart */
	nonce ^= (uint64_t)__builtin_ia32_rdtsc() * 0x9E3779B97F4A7C15ull;
	parse_uuid(arg("lab.uuid", text, sizeof text, ""), beat + 4);
	put64(beat + 20, nonce);

	int udp = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(HEARTBEAT_PORT) };
	inet_pton(AF_INET, arg("lab.hub", hub, sizeof hub, "10.77.0.1"), &to.sin_addr);

	int clients[MAX_CLIENTS], n = 0;
	struct pollfd p[3 + MAX_CLIENTS];
	p[0] = (struct pollfd){ .fd = listen_on(TICK_PORT), .events = POLLIN };
	p[1] = (struct pollfd){ .fd = listen_on(ORDER_PORT), .events = POLLIN };
	p[2] = (struct pollfd){ .fd = open("/dev/input/event0", O_RDONLY | O_NONBLOCK), .events = POLLIN };
	/* Both keep to one grid, so that a heartbeat and a tick share a wake-up: these are what an idle guest costs. */
	const long long start = now_ns();
	long long next_beat = start, next_tick = start;
	for (;;) {
		long long t = now_ns();
		if (t >= next_beat) {
			put64(beat + 28, ++counter);
			sendto(udp, beat, sizeof beat, 0, (struct sockaddr *)&to, sizeof to);
			next_beat = t + beat_ns - (t - start) % beat_ns;
		}
		if (t >= next_tick) {
			char line[40];
			/* unheard ticks count as time goes by; heard ones are numbered one by one */
			seq += n ? 1 : (uint64_t)((t - next_tick) / tick_ns) + 1;
			next_tick = t + tick_ns - (t - start) % tick_ns;
			int len = snprintf(line, sizeof line, "%016llx %014llu\n", (unsigned long long)nonce,
					   (unsigned long long)seq);
			for (int i = 0; i < n; i++) {
				ssize_t w = send(clients[i], line, (size_t)len, MSG_DONTWAIT | MSG_NOSIGNAL);
				if (w != len && !(w < 0 && errno == EAGAIN)) {
					close(clients[i]);
					clients[i--] = clients[--n];
				}
			}
		}
		long long wake = next_beat;
		if (n && next_tick < wake)
			wake = next_tick;
		t = now_ns();
		long long ns = wake > t ? wake - t : 0;
		struct timespec wait = { ns / 1000000000, ns % 1000000000 };
		for (int i = 0; i < n; i++)
			p[3 + i] = (struct pollfd){ .fd = clients[i], .events = POLLIN };
		int was = n;
		if (ppoll(p, (nfds_t)(3 + n), &wait, NULL) <= 0)
			continue;
		for (int i = was - 1; i >= 0; i--) { /* a client says nothing: readable means gone */
			char c[64];
			if (p[3 + i].revents && read(clients[i], c, sizeof c) <= 0) {
				close(clients[i]);
				clients[i] = clients[--n];
			}
		}
		if (p[0].revents & POLLIN) {
			int one = 1, fd = accept(p[0].fd, NULL, NULL);
			if (fd >= 0 && n == MAX_CLIENTS) {
				close(fd);
			} else if (fd >= 0) {
				setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
				clients[n++] = fd;
			}
		}
		if (p[1].revents & POLLIN) {
			int fd = accept(p[1].fd, NULL, NULL);
			if (fd >= 0)
				order(fd);
		}
		if (p[2].revents & POLLIN) {
			struct input_event e;
			while (read(p[2].fd, &e, sizeof e) == sizeof e)
				if (e.type == EV_KEY && e.code == KEY_POWER && e.value == 1)
					reboot(RB_POWER_OFF);
		}
	}
}
