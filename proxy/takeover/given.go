package takeover

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"

	"holdfast/proxy/eventloop"
	"holdfast/proxy/systemd"
)

// Give adds the service manager's sockets: Listen finds each by the first address that means the same. A socket that none
// of them means is an error, since clients would wait in its queue for ever.
func (s *Sockets) Give(all []systemd.Socket, addresses []string) error {
	free := slices.Clone(addresses)
	var got []handed
	for _, g := range all {
		i := slices.IndexFunc(free, func(address string) bool { return means(address, g.Address) })
		if i < 0 {
			return fmt.Errorf("the service manager has passed a socket at %s (%s), and no address of the configuration is "+
				"the same, or not twice; its addresses: %s", g.Address, g.Name, strings.Join(addresses, ", "))
		}
		got = append(got, handed{free[i], g.File, true})
		free = slices.Delete(free, i, i+1)
	}
	s.adopt(got)
	return nil
}

// means reports whether a configured address is that of a socket. 0.0.0.0 and [::] are two: a socket at the second one
// listens for both families.
func means(address, socket string) bool {
	network, want := eventloop.SplitAddress(address)
	other, have := eventloop.SplitAddress(socket)
	if network != other || network == "unix" {
		return network == other && filepath.Clean(want) == filepath.Clean(have)
	}
	at, err := netip.ParseAddrPort(have)
	if err != nil {
		return false
	}
	host, service, err := net.SplitHostPort(want)
	if err != nil {
		return false
	}
	port, err := net.DefaultResolver.LookupPort(context.Background(), "tcp", service)
	if err != nil || port != int(at.Port()) {
		return false
	}
	if host == "" {
		return at.Addr().IsUnspecified()
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip == at.Addr()
	}
	found, err := net.DefaultResolver.LookupNetIP(context.Background(), "ip", host)
	return err == nil && slices.ContainsFunc(found, func(ip netip.Addr) bool { return ip.Unmap() == at.Addr() })
}
