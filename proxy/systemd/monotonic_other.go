//go:build !linux

package systemd

// monotonic is empty: only Linux has systemd.
func monotonic() string { return "" }
