"""Network namespaces of a test cluster and the wires between them.

    machine                 namespace skcN                     namespace skcNn1
    skcN 10.209.N.254 ──────► br0 10.209.N.1 (API, registry) ◄────── eth0 10.209.N.11

All of a cluster is one Ethernet segment, 10.209.N.0/24, of a dual-stack one fd00:209:N::/64, too.
Nothing routes out of it: the cluster's namespace has no default route, and the machine is not asked
to forward. N is a free slot; taking it is creating the machine's end of the wire, which the kernel
grants to one caller only.
"""

import contextlib
import ipaddress
import os
import time

from . import proc
from .proc import ClusterError, check_call

SLOTS = range(64)


def subnet(slot):
    return f"10.209.{slot}"


def address(slot):
    return f"{subnet(slot)}.1"


def service_range(slot):
    return f"10.208.{slot}.0/24"


def pod_range(slot):
    return f"10.{16 + slot}.0.0/16"


def subnet_v6(slot):
    return ipaddress.IPv6Network(f"fd00:209:{slot:x}::/64")


def address_v6(slot):
    return str(subnet_v6(slot)[1])


def service_range_v6(slot):
    # As the API server wants it, also of slot 0: fd00:208::/112.
    return str(ipaddress.IPv6Network(f"fd00:208:{slot:x}::/112"))


def pod_range_v6(slot):
    return str(ipaddress.IPv6Network(f"fd00:210:{slot:x}::/48"))


def node_address(slot, index):
    return f"{subnet(slot)}.{10 + index}"


def node_address_v6(slot, index):
    return str(subnet_v6(slot)[10 + index])


def netns(slot):
    return f"skc{slot}"


def node_netns(slot, index):
    return f"skc{slot}n{index}"


def _ip(*arguments):
    return check_call("ip", *arguments)


def _is_free(slot):
    return (not os.path.exists(f"/sys/class/net/skc{slot}")
            and not os.path.exists(f"/run/netns/skc{slot}"))


def take_slot(mark, store):
    """Creates the machine's end of the wire of the first free slot and returns the slot.

    `mark` is the wire's hardware address: it says whose it is, because the slot is given to `store`
    before it is known whether this caller or another one gets it.
    """
    for slot in SLOTS:
        if not _is_free(slot):
            continue
        store(slot)
        try:
            _ip("link", "add", f"skc{slot}", "address", mark, "type", "veth",
                "peer", "name", f"skc{slot}p")
        except ClusterError as error:
            if "exists" not in str(error):
                raise
            continue
        return slot
    raise ClusterError("no free slot: 64 test clusters are up (tools/cluster down --name NAME)")


def new_mark():
    """A hardware address that no other cluster has (locally administered, unicast)."""
    return ":".join(["02", *(f"{byte:02x}" for byte in os.urandom(5))])


def is_ours(slot, mark):
    """Whether the slot belongs to the cluster of `mark`, or to nobody any more."""
    try:
        with open(f"/sys/class/net/skc{slot}/address") as file:
            return file.read().strip() == mark
    except OSError:
        return True  # Gone, or just going.


def create(slot):
    """Makes the cluster's namespace with its bridge, joined to the machine by the slot's wire."""
    name = netns(slot)
    _ip("netns", "add", name)
    _ip("link", "set", f"skc{slot}p", "netns", name)
    _ip("address", "add", f"{subnet(slot)}.254/24", "dev", f"skc{slot}")
    _ip("link", "set", f"skc{slot}", "up")
    _ip("-n", name, "link", "set", "lo", "up")
    # With an address of its own: a bridge otherwise has the lowest of its ports', which changes
    # when a node goes, and for half a minute everybody sends to the one they remember.
    _ip("-n", name, "link", "add", "br0", "address", "02:00:00:00:00:01", "type", "bridge",
        "forward_delay", "0")
    _ip("-n", name, "link", "set", f"skc{slot}p", "master", "br0", "up")
    _ip("-n", name, "address", "add", f"{address(slot)}/24", "dev", "br0")
    _ip("-n", name, "link", "set", "br0", "up")


def add_cluster_v6(slot):
    """IPv6 addresses of the machine and the control plane beside the others."""
    # Usable at once: nobody else can have them.
    _ip("address", "add", f"{subnet_v6(slot)[0xfe]}/64", "dev", f"skc{slot}", "nodad")
    _ip("-n", netns(slot), "address", "add", f"{address_v6(slot)}/64", "dev", "br0", "nodad")


def create_node(slot, index):
    """Makes a node's namespace, wired to the cluster's bridge."""
    name = node_netns(slot, index)
    _ip("netns", "add", name)
    # The kernel drops the last node's wire some time after its namespace.
    with contextlib.suppress(ClusterError):
        _ip("-n", netns(slot), "link", "delete", f"n{index}")
    # With a hardware address that belongs to the place: the next node here has the same addresses, and whoever
    # remembers the last one's would send to nobody for up to a minute.
    _ip("-n", netns(slot), "link", "add", f"n{index}", "type", "veth",
        "peer", "name", "eth0", "address", f"02:00:00:00:01:{index:02x}", "netns", name)
    _ip("-n", netns(slot), "link", "set", f"n{index}", "master", "br0", "up")
    _ip("-n", name, "link", "set", "lo", "up")
    _ip("-n", name, "address", "add", f"{node_address(slot, index)}/24", "dev", "eth0")
    _ip("-n", name, "link", "set", "eth0", "up")
    # A default route as on any node; the cluster's namespace has none, so it leads nowhere.
    _ip("-n", name, "route", "add", "default", "via", address(slot))


def add_node_v6(slot, index):
    """An IPv6 address beside the other one; in a cluster that is not dual-stack only other such nodes have one, too."""
    # Usable at once: the place is the node's, nobody else can have the address.
    _ip("-n", node_netns(slot, index), "address", "add", f"{node_address_v6(slot, index)}/64", "dev", "eth0", "nodad")
    # It leads nowhere, as that of IPv4, but what kube-proxy sends elsewhere must have had a way before.
    _ip("-n", node_netns(slot, index), "-6", "route", "add", "default", "via", address_v6(slot))


def route_pods(slot, index, ranges):
    """Lets the machine and the control plane, which are no nodes, reach a node's pods; between nodes the nodes themselves see to it."""
    for text in ranges:
        via = node_address_v6(slot, index) if ":" in text else node_address(slot, index)
        _ip("route", "replace", text, "via", via)
        _ip("-n", netns(slot), "route", "replace", text, "via", via)


def remove(name):
    """Removes one namespace with its interfaces, ending what still lives in it."""
    strays = proc.kill_netns_members(name)
    # By hand, not `ip netns delete`: that one refuses what an interrupted `add` left.
    proc.unmount_below(f"/run/netns/{name}")
    with contextlib.suppress(FileNotFoundError):
        os.unlink(f"/run/netns/{name}")
    return strays


def release_slot(slot):
    """Removes the wire; the kernel drops its other end too."""
    wire = f"/sys/class/net/skc{slot}"
    for _ in range(100):
        if not os.path.exists(wire):
            return
        # The kernel may be at it already: a wire goes with the namespace of its other end.
        with contextlib.suppress(ClusterError):
            _ip("link", "delete", f"skc{slot}")
        time.sleep(0.02)
    raise ClusterError(f"the interface skc{slot} cannot be removed")


def is_netns_folder_mounted():
    return "/run/netns" in proc.mounts_below("/run/netns")


def drop_netns_folder():
    """Undoes what the first `ip netns add` on a machine leaves: a mount of an empty folder."""
    if os.path.isdir("/run/netns") and not os.listdir("/run/netns"):
        proc.unmount_below("/run/netns")
