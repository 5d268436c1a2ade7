"""The node as the cluster sees it."""

import json

from kube import pod, run, wait_until


def test_the_node_is_ready_and_says_what_it_is(kube, node):
    its = kube.get("node", node)
    labels = its["metadata"]["labels"]
    assert labels["kubernetes.io/arch"] == "wasm32-wasi"
    assert labels["kubernetes.io/os"] == "wasi"
    assert labels["kubernetes.io/hostname"] == node
    assert labels["type"] == "krustlet"
    assert {t["effect"] for t in its["spec"]["taints"] if t["key"] == "kubernetes.io/arch"} == {
        "NoSchedule", "NoExecute"}
    told = its["status"]["nodeInfo"]
    assert told["kubeletVersion"].startswith("v1.37.")
    assert told["containerRuntimeVersion"].startswith("skiff://")
    assert told["operatingSystem"] == "linux"
    conditions = {c["type"]: (c["status"], c["reason"]) for c in its["status"]["conditions"]}
    assert conditions["Ready"] == ("True", "KubeletReady")
    assert conditions["MemoryPressure"] == ("False", "KubeletHasSufficientMemory")
    assert its["status"]["capacity"]["pods"] == "110"
    assert {h["name"] for h in its["status"]["runtimeHandlers"]} >= {"wasmtime"}


def test_stats_say_what_node_and_pods_use(kube, cluster, node):
    """Rows 48, 49: two scrapes of a pod that burns a processor."""
    kube.apply(pod("busy", cluster.push("actor"), "spin", volumeMounts=[{"name": "v", "mountPath": "/v"}],
                   volumes=[{"name": "v", "emptyDir": {}}], resources={"limits": {"cpu": "500m"}}))
    kube.wait_ready("busy")
    labels = f'{{container="main",namespace="{kube.namespace}",pod="busy"}}'

    def sample(name):
        """Value and time of a series of /metrics/resource."""
        page = kube("get", "--raw", f"/api/v1/nodes/{node}/proxy/metrics/resource").stdout
        assert "\nresource_scrape_error 0\n" in page
        line = next(line for line in page.splitlines() if line.startswith(name + labels))
        value, time = line.removeprefix(name + labels).split()
        return float(value), int(time)

    first, began = sample("container_cpu_usage_seconds_total")
    wait_until(lambda: sample("container_cpu_usage_seconds_total")[1] >= began + 3000, 20, "three seconds")
    last, ended = sample("container_cpu_usage_seconds_total")
    assert 0.2 < (last - first) / ((ended - began) / 1000) < 0.75, "half a core is its limit"
    assert sample("container_memory_working_set_bytes")[0] > 0
    assert abs(sample("container_start_time_seconds")[0] - ended / 1000) < 60

    def rate():
        return kube.summary(node, "?only_cpu_and_memory=true")[1]["busy"]["containers"][0]["cpu"].get("usageNanoCores", 0)

    wait_until(lambda: 200_000_000 < rate() < 750_000_000, 20, "a rate")
    # With disks it is looked at every ten seconds: somebody may have asked just before the pod came.
    wait_until(lambda: "busy" in kube.summary(node)[1], 20, "the pod is in the summary")
    its, pods = kube.summary(node)
    busy = pods["busy"]
    assert its["nodeName"] == node and its["fs"]["capacityBytes"] > its["fs"]["availableBytes"] > 0
    assert its["cpu"]["usageCoreNanoSeconds"] > 0 and its["memory"]["workingSetBytes"] > 0
    assert busy["podRef"]["uid"] == kube.pod("busy")["metadata"]["uid"]
    assert busy["volume"][0]["name"] == "v" and busy["volume"][0]["inodesUsed"] == 1
    assert busy["containers"][0]["logs"]["usedBytes"] >= 0


def test_what_others_wrote_into_the_node_stays(kube, cluster, node):
    """Rows 7 and 8: labels, annotations and conditions that are not the node's own."""
    foreign = {"type": "NetworkUnavailable", "status": "False", "reason": "RouteCreated", "message": "by another"}

    kube("label", "node", node, "example.com/mine=1")
    kube("annotate", "node", node, "example.com/mine=1")
    kube("patch", "node", node, "--subresource=status", "--type=strategic", "-p",
         json.dumps({"status": {"conditions": [foreign]}}))
    # The node writes its status over it: there is a new image.
    # A large one: 50 are shown, with five names each, and other tests have brought many.
    image = cluster.push("hello-go", "hello-go:of-this-test")
    kube.apply(pod("bringer", image))
    try:
        its = wait_until(lambda: image in json.dumps((its := kube.get("node", node))["status"].get("images")) and its, 40,
                         "the image in the node's status")
        assert its["metadata"]["labels"]["example.com/mine"] == "1"
        assert its["metadata"]["annotations"]["example.com/mine"] == "1"
        kinds = [c["type"] for c in its["status"]["conditions"]]
        assert "NetworkUnavailable" in kinds and kinds[-1] == "Ready", kinds
    finally:
        kube("label", "node", node, "example.com/mine-")
        kube("annotate", "node", node, "example.com/mine-")


def test_the_lease_is_renewed(kube, node):
    def renewed():
        lease = kube("get", "lease", node, "-n", "kube-node-lease", "-o",
                     "jsonpath={.spec.renewTime} {.spec.holderIdentity}").stdout.split()
        assert lease[1] == node
        return lease[0]

    first = renewed()
    wait_until(lambda: renewed() != first, 15, "a renewed lease")


def test_a_pod_without_toleration_stays_away(kube, cluster):
    its = pod("shy", cluster.push("sleeper"))
    del its["spec"]["runtimeClassName"]
    kube.apply(its)
    event = kube.wait_event("shy", "FailedScheduling")
    assert "untolerated taint" in event["message"]
    assert "nodeName" not in kube.pod("shy")["spec"]


def test_tolerations_place_a_pod_as_krustlets_do(kube, cluster, node):
    its = pod("krust", cluster.push("actor"), "print", "hi",
              nodeSelector={"kubernetes.io/arch": "wasm32-wasi"},
              tolerations=[{"key": "kubernetes.io/arch", "operator": "Equal",
                            "value": "wasm32-wasi", "effect": effect}
                           for effect in ("NoExecute", "NoSchedule")])
    del its["spec"]["runtimeClassName"]
    kube.apply(its)
    assert kube.wait_phase("krust", "Succeeded")["spec"]["nodeName"] == node


def test_two_nodes_on_one_machine(kube, cluster, node):
    cluster.node("up", "skiff-2")
    try:
        for name in (node, "skiff-2"):
            kube.apply(pod(f"on-{name}", cluster.push("actor"), "print", name,
                           nodeSelector={"kubernetes.io/hostname": name}))
        for name in (node, "skiff-2"):
            kube.wait_phase(f"on-{name}", "Succeeded")
            assert kube.logs(f"on-{name}") == f"{name}\n"
    finally:
        cluster.node("down", "skiff-2")


def test_the_node_follows_its_addresses(kube, cluster):
    """Row 9: as a laptop's or a boat's, its address changes; what was open over the old one is lost, no pod is."""
    its = "skiff-moves"
    cluster.node("up", its)
    old = kube.address_of(its)
    number = int(old.rpartition(".")[2]) - 10  # tools/testcluster/net.py
    new = old.rpartition(".")[0] + ".99"

    def ip(*words):
        return run(cluster.inside("ip", *words, node_number=number)).stdout

    kube.apply(pod("stays", cluster.push("actor"), "print", "ahoy", ";", "hold",
                   nodeSelector={"kubernetes.io/hostname": its}))
    before = kube.wait_ready("stays")
    assert before["status"]["hostIP"] == old
    gateway = ip("route", "show", "default").split()[2]
    ip("address", "del", f"{old}/24", "dev", "eth0")
    ip("address", "add", f"{new}/24", "dev", "eth0")
    ip("route", "add", "default", "via", gateway)
    wait_until(lambda: kube.address_of(its) == new, 90, "the new address")
    wait_until(lambda: kube("logs", "stays", check=False).stdout == "ahoy\n", 60, "logs by way of it")
    after = kube.wait_pod("stays", lambda p: p["status"]["hostIP"] == new, 60)
    assert after["status"]["containerStatuses"][0]["containerID"] == \
        before["status"]["containerStatuses"][0]["containerID"]
    assert after["status"]["containerStatuses"][0]["restartCount"] == 0
    kube("delete", "pod", "stays")
    kube.wait_gone("stays")
    cluster.node("down", its)
