package main

import (
	"fmt"
	"strings"
	"testing"

	"holdfast/proxy/proxytest"
)

// startSecured is startProxy in front of a server by TLS.
func startSecured(t *testing.T, ca *proxytest.Authority, secure, more string) *process {
	t.Helper()
	cert, key := ca.Issue("proxy", proxytest.Identity{})
	p := newProcess(t, plain, secure, more)
	p.rewrite(strings.Replace(p.configAt(secure, more), "upstream: {",
		fmt.Sprintf("upstream: {tls: {ca: %q, cert: %q, key: %q}, ", ca.CA, cert, key), 1))
	p.start()
	p.awaitAnswer()
	return p
}

// A journal of a server behind TLS is restored into another one that comes for the data by TLS, and the
// live server is compared with it by TLS.
func TestRestoreByTLS(t *testing.T) {
	t.Parallel()
	ca := proxytest.NewAuthority(t)
	args, secure := ca.ServerArgs()
	srv := proxytest.StartServer(t, append(args, recordedArgs...)...)
	p := startSecured(t, ca, secure, recordingConfig)
	fill(t, p, 20)
	p.recordedAll(srv)

	args, target := ca.ServerArgs()
	args = append(args, "--tls-replication", "yes")
	dst := proxytest.StartServer(t, append(args, recordedArgs...)...)
	url := fmt.Sprintf("rediss://%s?ca=%s", target, ca.CA)
	keys := fmt.Sprintf("&cert=%s/proxy.crt&key=%[1]s/proxy.key", ca.Dir)
	restore := []string{"restore", "--config", p.file, "--end", "--target"}
	code, _, stderr := execute(t, append(restore, url)...)
	if code != exitFailed {
		t.Errorf("without a certificate: %d, %s", code, stderr)
	}
	code, _, stderr = execute(t, append(restore, "redis://"+dst.Addr)...)
	if code != exitFailed || !strings.Contains(stderr, "there is no certificate to serve it with") {
		t.Errorf("without TLS: %d, %s", code, stderr)
	}
	out := mustRun(t, append(restore, url+keys)...)
	if got, want := dst.MustDo("DEBUG", "DIGEST"), srv.MustDo("DEBUG", "DIGEST"); got != want {
		t.Errorf("digest %v, want %v\n%s", got, want, out)
	}
	diff := []string{"diff", "--config", p.file, "--server-bin", srv.Binary.Path}
	mustRun(t, diff...)
	silently(srv, "SET s:1 wrong")
	if code, out, _ := execute(t, diff...); code != exitFailed || !strings.Contains(out, "s:1") {
		t.Errorf("diff: %d\n%s", code, out)
	}
}

func TestTargetsByTLS(t *testing.T) {
	ca := proxytest.NewAuthority(t)
	cert, key := ca.Issue("c", proxytest.Identity{})
	for _, tt := range []struct{ url, want string }{
		{"rediss://h:1", ""},
		{"rediss://h:1?ca=" + ca.CA + "&cert=" + cert + "&key=" + key + "&server_name=x", ""},
		{"valkeys://h", ""},
		{"rediss://h:1?cert=" + cert, "cert and key go together"},
		{"rediss://h:1?cacert=x", `"cacert" behind ? must be one of ca, server_name, cert, key, each once`},
		{"rediss://h:1?ca=a&ca=b", "each once"},
		{"rediss://h:1?ca=/nowhere", "unusable file"},
		{"redis://h:1?ca=" + ca.CA, "what stands behind ? is for rediss://"},
	} {
		got, err := parseTarget(tt.url, "")
		if tt.want == "" && (err != nil || got.tls == nil) ||
			tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: got %v, want %q", tt.url, err, tt.want)
		}
	}
}
