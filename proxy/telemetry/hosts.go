package telemetry

import (
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
)

// HostAllowed reports whether a request may be meant for this server, by its Host header. By DNS
// rebinding an attacker can point a name of his own at this server, so that his page in a browser
// reads its responses. The browser then sends that name as Host, and the name must be in the public
// DNS. So HostAllowed accepts only hosts that no attacker can own: addresses, names without a dot,
// names under suffixes that the public DNS does not have, this machine's name, and the names in
// more. A client that sends no Host is no browser.
func HostAllowed(host string, more []string) bool {
	name := hostName(host)
	if name == "" || !strings.Contains(name, ".") {
		return true
	}
	if _, err := netip.ParseAddr(name); err == nil {
		return true
	}
	for _, suffix := range []string{".localhost", ".local", ".internal", ".svc"} {
		if strings.HasSuffix(name, suffix) {
			return true
		}
	}
	same := func(o string) bool { return hostName(o) == name }
	if own, err := os.Hostname(); err == nil && same(own) {
		return true
	}
	return slices.ContainsFunc(more, same)
}

// hostName is a Host header without its port, its brackets, and the dot at its end.
func hostName(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	return strings.ToLower(strings.TrimSuffix(host, "."))
}
