package eventloop

import (
	"net"
	"time"
)

// SessionKeepAlive is the TCP keepalive idle time of sessions: the server's own tcp-keepalive
// default (redis.conf).
const SessionKeepAlive = 300 * time.Second

// keepAliveProbes unanswered probes, spread over one idle time, end a connection, as in Redis's
// anetKeepAlive.
const keepAliveProbes = 3

// tune sets the socket options of every connection. It does so through the standard library, before
// the driver takes the descriptor, so that they are the same on every system.
func tune(nc net.Conn, pri Priority) error {
	tc, ok := beneath(nc).(*net.TCPConn)
	if !ok {
		return nil
	}
	if err := tc.SetNoDelay(true); err != nil {
		return err
	}
	if pri != PrioritySession {
		return nil
	}
	return tc.SetKeepAliveConfig(keepAlive(SessionKeepAlive))
}

func keepAlive(idle time.Duration) net.KeepAliveConfig {
	return net.KeepAliveConfig{
		Enable:   idle > 0,
		Idle:     idle,
		Interval: max(time.Second, idle/keepAliveProbes),
		Count:    keepAliveProbes,
	}
}

// beneath returns the connection that nc wraps, as tls.Conn does, or nc itself.
func beneath(nc net.Conn) net.Conn {
	if w, ok := nc.(interface{ NetConn() net.Conn }); ok {
		return w.NetConn()
	}
	return nc
}

// addrCache keeps the last local address. All sessions of a listener share it, which saves ten
// thousand copies.
type addrCache struct {
	local string
}

// of names both ends of nc as CLIENT LIST would.
func (a *addrCache) of(nc net.Conn) (remote, local string) {
	remote, local = addrString(nc.RemoteAddr()), addrString(nc.LocalAddr())
	if _, ok := nc.RemoteAddr().(*net.UnixAddr); ok {
		// Only the listening end of a unix connection has a name; Redis shows it for both.
		if remote == "" {
			remote = local
		}
		if local == "" {
			local = remote
		}
	}
	if local != a.local {
		a.local = local
	}
	return remote, a.local
}

func addrString(a net.Addr) string {
	switch a := a.(type) {
	case nil:
		return ""
	case *net.UnixAddr:
		if a == nil || a.Name == "" || a.Name == "@" {
			return ""
		}
		return a.Name + ":0"
	default:
		return a.String()
	}
}
