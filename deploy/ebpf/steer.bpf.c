// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Where a connection for the service's port that comes from outside is given to the sidecar's listener, whatever port that is
// bound to: no NAT, no tracking of connections, and the sidecar's socket has the port that the client asked for.
#include <linux/bpf.h>
#include <linux/in.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define FAMILY_IPV4 2
/* In every network namespace. */
#define LOOPBACK_IFINDEX 1
/* 127.0.79.82: refused on loopback, so that a sidecar sees that this program is there (src/intercept/rules.ts). */
#define PROBE_ADDRESS 0x7f004f52

/* Set before it is loaded. */
const volatile __u16 service_port = 0;

/* Empty while no sidecar runs: a socket that is closed leaves it. */
struct {
	__uint(type, BPF_MAP_TYPE_SOCKMAP);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} listeners SEC(".maps");

SEC("sk_lookup")
int steer(struct bpf_sk_lookup *context)
{
	const __u32 first = 0;
	struct bpf_sock *listener;
	long failure;

	if (context->protocol != IPPROTO_TCP || context->local_port != service_port)
		return SK_PASS;
	/* The sidecar's own way to the service, or it would call itself. */
	if (context->ingress_ifindex == LOOPBACK_IFINDEX) {
		if (context->family == FAMILY_IPV4 && context->local_ip4 == bpf_htonl(PROBE_ADDRESS))
			return SK_DROP;
		return SK_PASS;
	}
	/* Nobody comes past a sidecar that is not there. */
	listener = bpf_map_lookup_elem(&listeners, &first);
	if (!listener)
		return SK_DROP;
	failure = bpf_sk_assign(context, listener, 0);
	bpf_sk_release(listener);
	return failure ? SK_DROP : SK_PASS;
}

const char terms[] SEC("license") = "Dual BSD/GPL";
