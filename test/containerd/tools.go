//go:build tools

// Package containerd names the upstream runtime of the kubelet that Skiff is tested beside, so that go.mod and go.sum pin
// every module it needs.
package containerd

import (
	_ "github.com/containerd/containerd/v2/cmd/containerd"
	_ "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2"
)
