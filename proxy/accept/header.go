package accept

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// ErrHeader says that a connection does not begin with a header of the PROXY protocol.
var ErrHeader = errors.New("no valid PROXY header")

// errUntrusted says that a connection comes from an address that may not speak the PROXY protocol.
var errUntrusted = errors.New("not in proxy_protocol_from")

// Proxied is a connection whose peer speaks for another one.
type Proxied struct {
	net.Conn
	Remote string // the client's address, as the peer says: "ip:port"
}

const (
	signature = "\r\n\r\n\x00\r\nQUIT\n" // of version 2
	firstRead = len(signature)           // less than any header of either version
	maxLine   = 107                      // of version 1, with its end
	maxBody   = 2 << 10                  // of version 2: addresses and what describes them further
)

// readHeader reads a header of version 1 or 2 (haproxy.org, doc/proxy-protocol.txt), and no byte
// behind it. remote is empty where the header names no address: a health check of the peer's own,
// or a protocol without addresses and ports.
func readHeader(r io.Reader) (remote string, err error) {
	head := make([]byte, firstRead, maxLine)
	if _, err := io.ReadFull(r, head); err != nil {
		return "", err
	}
	switch {
	case string(head) == signature:
		return readVersion2(r)
	case bytes.HasPrefix(head, []byte("PROXY ")):
		return readVersion1(r, head)
	}
	return "", fmt.Errorf("%w: it begins with %q", ErrHeader, head)
}

// readVersion1 reads a line byte by byte: the client's first byte may follow it.
func readVersion1(r io.Reader, line []byte) (string, error) {
	for !bytes.HasSuffix(line, []byte("\r\n")) {
		if len(line) == maxLine {
			return "", fmt.Errorf("%w: a line of more than %d bytes", ErrHeader, maxLine)
		}
		if _, err := io.ReadFull(r, line[len(line):len(line)+1]); err != nil {
			return "", err
		}
		line = line[:len(line)+1]
	}
	words := strings.Split(strings.TrimSuffix(string(line), "\r\n"), " ")
	if len(words) > 1 && words[1] == "UNKNOWN" {
		return "", nil
	}
	if len(words) != 6 || words[1] != "TCP4" && words[1] != "TCP6" {
		return "", fmt.Errorf("%w: %q", ErrHeader, line)
	}
	addr, err := netip.ParseAddr(words[2])
	port, portErr := strconv.ParseUint(words[4], 10, 16)
	if err != nil || portErr != nil || addr.Zone() != "" || addr.Is4() != (words[1] == "TCP4") {
		return "", fmt.Errorf("%w: %q", ErrHeader, line)
	}
	return netip.AddrPortFrom(addr.Unmap(), uint16(port)).String(), nil
}

// readVersion2 reads what follows the signature.
func readVersion2(r io.Reader) (string, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return "", err
	}
	n := int(binary.BigEndian.Uint16(head[2:]))
	if head[0]>>4 != 2 || head[0]&15 > 1 || n > maxBody {
		return "", fmt.Errorf("%w: version and command %#x, %d bytes", ErrHeader, head[0], n)
	}
	body := make([]byte, n)
	if _, err := io.ReadFull(r, body); err != nil {
		return "", err
	}
	size := map[byte]int{0x11: 4, 0x21: 16}[head[1]] // of an address; TCP over IPv4, over IPv6
	if head[0]&15 == 0 || size == 0 {
		return "", nil
	}
	if n < 2*size+4 {
		return "", fmt.Errorf("%w: %d bytes of addresses", ErrHeader, n)
	}
	addr, _ := netip.AddrFromSlice(body[:size]) // of 4 or 16 bytes
	port := binary.BigEndian.Uint16(body[2*size:])
	return netip.AddrPortFrom(addr.Unmap(), port).String(), nil
}

// trusted reports whether a peer may speak for others.
func trusted(remote net.Addr, from []netip.Prefix) bool {
	a, ok := remote.(*net.TCPAddr)
	if !ok {
		return false
	}
	addr := a.AddrPort().Addr().Unmap().WithZone("")
	for _, p := range from {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}
