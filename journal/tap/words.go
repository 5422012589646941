package tap

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"strings"

	"holdfast/journal/vfs"
)

// A server gives the reason for a failed snapshot in its log only: the connection just ends. If it
// runs on this machine and logs to a file that this process may read, the error quotes its log.

// serverLog is a place in a server's log file.
type serverLog struct {
	path string // "": out of reach
	from int64  // earlier lines are of no interest
}

const (
	logMost  = 64 << 10 // bytes searched at the end
	logLines = 3        // lines quoted
)

// openLog notes the present end of the server's log. The user needs +config|get; without it, or
// with a server elsewhere, there is no quotation.
func (t *Tap) openLog(ctx context.Context) serverLog {
	if !local(t.address()) {
		return serverLog{}
	}
	ctx, cancel := context.WithTimeout(ctx, t.opts.Timeout)
	defer cancel()
	conn, err := t.dial(ctx)
	if err != nil {
		return serverLog{}
	}
	defer conn.Close()
	setting := func(name string) string {
		reply, _ := conn.Do(ctx, "CONFIG", "GET", name) // refused: unknown
		if pair, ok := reply.([]any); ok && len(pair) == 2 {
			value, _ := pair[1].(string)
			return value
		}
		return ""
	}
	path := setting("logfile")
	if path == "" {
		return serverLog{}
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(setting("dir"), path)
	}
	st, err := vfs.OS{}.Stat(path)
	if err != nil {
		return serverLog{}
	}
	return serverLog{path, st.Size}
}

// local reports whether an address is on this machine.
func local(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return strings.HasPrefix(address, "unix:")
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// explain adds the server's last warnings since then to an error.
func (l serverLog) explain(err error) error {
	if err == nil || l.path == "" {
		return err
	}
	if words := l.words(); words != "" {
		return fmt.Errorf("%w; the server's log: %s", err, words)
	}
	return err
}

func (l serverLog) words() string {
	f, err := vfs.OS{}.Open(l.path)
	if err != nil {
		return ""
	}
	defer f.Close() // read-only
	size, err := f.Size()
	if err != nil || size <= l.from {
		return ""
	}
	text := make([]byte, min(size-l.from, logMost))
	n, _ := f.ReadAt(text, size-int64(len(text))) // it may have been cut meanwhile
	var warnings []string
	for line := range strings.Lines(string(text[:n])) {
		if _, words, ok := strings.Cut(line, " # "); ok {
			warnings = append(warnings, strings.TrimSpace(words))
		}
	}
	return strings.Join(warnings[max(0, len(warnings)-logLines):], "; ")
}
