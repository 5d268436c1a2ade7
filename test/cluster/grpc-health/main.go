// Command grpc-health is upstream's own test server for gRPC probes (agnhost grpc-health-checking)
// as a program of this machine: the node's gRPC probes are held against it.
package main

import (
	"os"

	health "k8s.io/kubernetes/test/images/agnhost/grpc-health-checking"
)

func main() {
	if health.CmdGrpcHealthChecking.Execute() != nil {
		os.Exit(1)
	}
}
