package main

import (
	"fmt"
	"io"
	"net"
	"strings"

	"holdfast/configs"
)

// guide prints where to look next, once the listeners accept. Programs that read the log as JSON
// get nothing but the log.
func (s *service) guide(w io.Writer) {
	if s.started.Log.Format == "text" {
		printGuide(w, s.started)
	}
}

// printGuide prints where a proxy with this configuration is reached, and what it does not protect.
func printGuide(w io.Writer, c *configs.Config) {
	fmt.Fprintf(w, "\nHoldfast serves %s in front of %s.\n\n", strings.Join(clientURLs(c), ", "), upstreamName(c))
	if c.Admin.Address != "" {
		fmt.Fprintf(w, "  console    %s SHOW\n", redisCLI(c.Admin.Address))
	}
	if c.Admin.HTTP != "" {
		scheme := "http"
		if c.Admin.TLS != nil {
			scheme = "https"
		}
		if path, unix := strings.CutPrefix(c.Admin.HTTP, "unix:"); unix {
			fmt.Fprintf(w, "  metrics    curl --unix-socket %s http://holdfast/metrics\n", path)
		} else {
			fmt.Fprintf(w, "  page       %s://%s/\n", scheme, reachable(c.Admin.HTTP))
			fmt.Fprintf(w, "  metrics    %s://%s/metrics, readiness at /readyz\n", scheme, reachable(c.Admin.HTTP))
		}
	}
	fmt.Fprint(w, "  reference  proxy help config; proxy help docs, such as proxy help recovery\n")
	if open := unprotected(c); len(open) > 0 {
		fmt.Fprint(w, "\nNot protected yet:\n")
		for _, line := range open {
			fmt.Fprintf(w, "  - %s\n", line)
		}
	}
	fmt.Fprintln(w)
}

// clientURLs are the addresses for applications.
func clientURLs(c *configs.Config) (urls []string) {
	for _, l := range c.Listeners {
		switch path, unix := strings.CutPrefix(l.Address, "unix:"); {
		case unix:
			urls = append(urls, "unix://"+path)
		case l.TLS != nil:
			urls = append(urls, "rediss://"+reachable(l.Address))
		default:
			urls = append(urls, "redis://"+reachable(l.Address))
		}
	}
	return urls
}

// reachable is a listening address as one to connect to from this machine.
func reachable(address string) string {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}

// redisCLI is the command that reaches the console.
func redisCLI(address string) string {
	if path, unix := strings.CutPrefix(address, "unix:"); unix {
		return "redis-cli -s " + path
	}
	host, port, err := net.SplitHostPort(reachable(address))
	if err != nil || host == "127.0.0.1" {
		return "redis-cli -p " + port
	}
	return "redis-cli -h " + host + " -p " + port
}

// unprotected lists the dangers that this configuration leaves open, each with the key that closes
// it.
func unprotected(c *configs.Config) (open []string) {
	add := func(missing bool, text string) {
		if missing {
			open = append(open, text)
		}
	}
	add(c.Enforcement == "observe", "rules only count: enforcement is observe")
	switch {
	case c.Rules != nil && len(c.Rules) == 0:
		open = append(open, "every command passes: rules is empty")
	case !hasTrash(c):
		open = append(open, "deletes are final: no rule has the action trash (rules)")
	}
	add(c.Journal.Dir == "", "overwritten or lost data cannot be rebuilt: there is no journal (journal.dir)")
	add(len(c.Routes) == 0, "OK means that a write is in the memory of one process: there is no durable route (routes)")
	add(c.Audit.File == "", "no record says later who did it: there is no audit log (audit.file)")
	for _, l := range c.Listeners {
		add(l.TLS == nil && l.Exposed(), "clients of "+l.Address+" send in the clear (listeners[].tls)")
	}
	add(c.Admin.Address != "" && c.Admin.Password == "" && c.Admin.PasswordFile == "",
		"every program that reaches the console is an operator (admin.password_file)")
	add(true, "clients that connect to "+upstreamName(c)+" directly bypass all of this: close that way")
	return open
}

func hasTrash(c *configs.Config) bool {
	for _, r := range c.Rules {
		if r.Action == "trash" {
			return true
		}
	}
	return false
}
