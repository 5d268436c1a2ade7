"""exec and port-forward by the Python client: prints what came of it as one line of JSON."""

import json
import sys

from kubernetes import client, config
from kubernetes.stream import portforward, stream


def main(namespace, boat, web, port):
    config.load_kube_config()
    api = client.CoreV1Api()
    found = {}

    def run(*command, **streams):
        return stream(api.connect_get_namespaced_pod_exec, boat, namespace, command=list(command), stdout=True,
                      _preload_content=False, **{"stderr": True, "stdin": False, "tty": False, **streams})

    its = run("sh", "-c", "echo ahoy; echo oops >&2; exit 3")
    its.run_forever(timeout=60)
    found["stdout"], found["stderr"] = its.read_stdout(), its.read_stderr()
    found["code"] = its.returncode
    its = run("head", "-n", "2", stdin=True)
    its.write_stdin("one\n")
    its.write_stdin("two\n")
    its.run_forever(timeout=60)
    found["echo"] = its.read_stdout()
    its.close()

    forward = portforward(api.connect_get_namespaced_pod_portforward, web, namespace, ports=str(port))
    its = forward.socket(port)
    its.setblocking(True)
    its.sendall(b"GET / HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n")
    answer = b""
    while part := its.recv(65536):
        answer += part
    its.close()
    found["answer"] = answer.decode()
    found["error"] = forward.error(port)
    print(json.dumps(found))


main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
