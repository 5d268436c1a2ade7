//go:build tools

// Package flanneld names the upstream program, so that go.mod and go.sum pin every module it needs.
package flanneld

import _ "github.com/flannel-io/flannel"
