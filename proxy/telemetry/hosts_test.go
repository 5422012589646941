package telemetry

import "testing"

func TestHostAllowed(t *testing.T) {
	more := []string{"Metrics.Example.com", "proxy.example.com:9390"}
	for host, want := range map[string]bool{
		"": true, "127.0.0.1": true, "127.0.0.1:9390": true, "10.1.2.3:9390": true, "[::1]:9390": true,
		"[fe80::1%25eth0]:9390": true, "::1": true, "localhost": true, "LOCALHOST:9390": true, "a.localhost": true,
		"holdfast:9390": true, "holdfast.prod.svc:9390": true, "holdfast.prod.svc.cluster.local": true,
		"printer.local": true, "ip-10-0-0-1.ec2.internal": true, "metrics.example.com:9390": true,
		"metrics.example.com.": true, "proxy.example.com": true,
		"evil.com": false, "evil.com:9390": false, "127.0.0.1.evil.com": false, "localhost.evil.com": false,
		"x.metrics.example.com": false, "evil.com.": false, "1.2.3.4.5": false, "localhost.": true,
	} {
		if got := HostAllowed(host, more); got != want {
			t.Errorf("%q: got %v, want %v", host, got, want)
		}
	}
}
