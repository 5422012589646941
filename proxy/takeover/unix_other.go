//go:build !linux

package takeover

import "net"

// Name is the beginning of the name of the socket for the proxies of one configuration file.
func Name(string) string { return "" }

func listen(string) (*net.UnixListener, error) { return nil, ErrUnsupported }

func candidates(name string) []string { return []string{name} }

func dial(string) (*net.UnixConn, error) { return nil, ErrUnsupported }

func peerOf(*net.UnixConn) (pid, uid int, err error) { return 0, 0, ErrUnsupported }

func sameGroup(int) bool { return true }

const roomForRights = 0

func rights([]int) []byte { return nil }

func parseRights([]byte) ([]int, error) { return nil, nil }

func closeFiles([]int) {}
