package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"holdfast/proxy/proxytest"
)

// A health check exits with 0 while the proxy is ready, by TCP, TLS and a unix socket; otherwise it names the reasons.
func TestCheckReady(t *testing.T) {
	t.Parallel()
	authority := proxytest.NewAuthority(t)
	cert, key := authority.Issue("admin", proxytest.Identity{})
	for name, admin := range map[string]func(p *process) string{
		"tcp": func(p *process) string { return fmt.Sprintf("{address: off, http: %q}", p.http) },
		"unix": func(*process) string {
			return fmt.Sprintf("{address: off, http: %q}", "unix:"+filepath.Join(proxytest.ShortDir(t), "h"))
		},
		"tls": func(p *process) string {
			return fmt.Sprintf("{address: off, http: %q, tls: {cert: %q, key: %q}}", p.http, cert, key)
		},
	} {
		t.Run(name, func(t *testing.T) {
			srv := proxytest.Spec{}.Start(t)
			p := newProcess(t, plain, srv.Addr, "")
			p.rewrite(fmt.Sprintf("listeners: [{address: %q}]\nupstream: {address: %q}\nadmin: %s\n", p.addr, srv.Addr, admin(p)))
			check := func(code int, want string) {
				t.Helper()
				got, stdout, stderr := execute(t, "check", "--ready", "--config", p.file)
				if got != code || !strings.Contains(stdout, want) {
					t.Errorf("exit code %d, want %d: %s%s", got, code, stdout, stderr)
				}
			}
			check(exitFailed, "FAIL  ready: ")
			p.start()
			p.awaitAnswer()
			check(exitDone, "ok    ready: ready\n")
			srv.Stop()
			proxytest.Poll(t, "it is not ready", func() bool {
				_, stdout, _ := execute(t, "check", "--ready", "--config", p.file)
				return strings.Contains(stdout, "FAIL  ready: upstream ")
			})
			check(exitFailed, "FAIL  ready: upstream ")
		})
	}
	off := configFile(t, "admin: {address: off, http: off}\n")
	if code, stdout, _ := execute(t, "check", "--ready", "--config", off); code != exitFailed || !strings.Contains(stdout, "admin.http is off") {
		t.Errorf("off: %d %s", code, stdout)
	}
	if code, _, _ := execute(t, "check", "--ready", "--offline"); code != exitUsage {
		t.Errorf("--ready --offline: %d", code)
	}
}
