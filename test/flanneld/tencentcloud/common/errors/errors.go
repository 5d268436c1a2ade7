// Package errors stands for a cloud's SDK: see package common.
package errors

// TencentCloudSDKError is never made.
type TencentCloudSDKError struct{}

func (*TencentCloudSDKError) Error() string { return "no cloud" }
