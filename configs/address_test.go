package configs

import (
	"strings"
	"testing"
)

func TestAddresses(t *testing.T) {
	long := "unix:/" + strings.Repeat("x", maxUnixPath)
	for _, tc := range []struct {
		address      string
		listen, dial string // the fault; empty: none
	}{
		{"127.0.0.1:6379", "", ""},
		{"redis.example_1.org:6379", "", ""},
		{"[::1]:6379", "", ""},
		{"[fe80::1%eth0]:6379", "", ""},
		{"unix:/run/redis.sock", "", ""},
		{":6379", "", "the host is missing"},
		{"h:0", "", "port 0 cannot be connected to"},
		{"", "the address is missing", "the address is missing"},
		{"localhost", "expected host:port", "expected host:port"},
		{"::1", "[address]:port", "[address]:port"},
		{"h:port", `got "port"`, `got "port"`},
		{"h:65536", `got "65536"`, `got "65536"`},
		{"h:-1", `got "-1"`, `got "-1"`},
		{"h h:1", "neither", "neither"},
		{"h/0:1", "neither", "neither"},
		{"rediss://h:1", "write h:1", "write h:1"},
		{"unix:run.sock", "absolute", "absolute"},
		{"unix:", "absolute", "absolute"},
		{"unix:@x", "absolute", "absolute"},
		{long, "at most 107", "at most 107"},
		{"unix:/a\x00b", "NUL", "NUL"},
	} {
		for way, got := range map[string]error{
			tc.listen + "\x00listen": checkListen(tc.address),
			tc.dial + "\x00dial":     checkDial(tc.address),
		} {
			want, way, _ := strings.Cut(way, "\x00")
			ok := got == nil && want == "" ||
				got != nil && want != "" && strings.Contains(got.Error(), want)
			if !ok {
				t.Errorf("%s %q: got %v, want %q", way, tc.address, got, want)
			}
		}
	}
}

func TestIsLoopback(t *testing.T) {
	for address, want := range map[string]bool{
		"127.0.0.1:1": true, "127.9.9.9:1": true, "[::1]:1": true, "localhost:1": true,
		"[::ffff:127.0.0.1]:1": true, "unix:/s": true,
		":1": false, "0.0.0.0:1": false, "10.0.0.1:1": false, "[::]:1": false, "h:1": false,
		"bad": false,
	} {
		if got := isLoopback(address); got != want {
			t.Errorf("%s: got %v, want %v", address, got, want)
		}
	}
}

func TestSamePlace(t *testing.T) {
	for _, tc := range []struct {
		listen, dial string
		want         bool
	}{
		{"h:1", "h:1", true},
		{"unix:/s", "unix:/s", true},
		{":1", "127.0.0.1:1", true},
		{"0.0.0.0:1", "localhost:1", true},
		{"[::]:1", "[::1]:1", true},
		{"127.0.0.1:1", "localhost:1", true},
		{":1", "10.0.0.1:1", false},
		{":1", "127.0.0.1:2", false},
		{"10.0.0.1:1", "127.0.0.1:1", false},
		{"127.0.0.1:0", "127.0.0.2:0", false},
		{"unix:/s", "unix:/t", false},
		{"", "", false},
		{"bad", "127.0.0.1:1", false},
	} {
		if got := samePlace(tc.listen, tc.dial); got != tc.want {
			t.Errorf("%q, %q: got %v, want %v", tc.listen, tc.dial, got, tc.want)
		}
	}
}
