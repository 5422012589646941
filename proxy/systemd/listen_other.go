//go:build !linux

package systemd

// Listening returns nothing: only Linux has systemd.
func Listening() ([]Socket, error) { return nil, nil }
