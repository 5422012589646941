package rdb

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"holdfast/proxy/proxytest"
)

func TestReadHeader(t *testing.T) {
	aux := func(key, value string) string {
		return "\xfa" + string(rune(len(key))) + key + value
	}
	for _, row := range []struct {
		name, in string
		want     Header
	}{
		{"nothing but the magic", "REDIS0009\xff", Header{Version: 9, Offset: -1, StreamDB: -1}},
		{"a valkey magic", "VALKEY080\xff", Header{Version: 80, Offset: -1, StreamDB: -1}},
		{"encodings", "REDIS0011" + aux("redis-ver", "\x057.2.4") +
			aux("repl-id", "\x40\x04abcd") + aux("repl-offset", "\xc2\x00\x00\x01\x00") +
			aux("repl-stream-db", "\xc0\x03") + aux("aof-base", "\xc0\x01") +
			aux("ctime", "\xc1\x10\x01") + "\xfe\x00",
			Header{Version: 11, Server: "7.2.4", ReplID: "abcd", Offset: 65536, StreamDB: 3,
				AOFBase: true, Created: time.Unix(272, 0)}},
		{"compressed", "REDIS0011" + aux("repl-id", "\xc3\x06\x0a\x00a\xe0\x00\x00\x40") + "\xff",
			Header{}},
		{"an LZF run", "REDIS0011" + aux("repl-id", "\xc3\x05\x0a\x00a\xe0\x00\x00") + "\xff",
			Header{Version: 11, ReplID: "aaaaaaaaaa", Offset: -1, StreamDB: -1}},
	} {
		t.Run(row.name, func(t *testing.T) {
			h, err := ReadHeader(strings.NewReader(row.in))
			if row.want.Version == 0 {
				if !errors.Is(err, ErrFormat) {
					t.Fatalf("ReadHeader = %+v, %v; want ErrFormat", h, err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			h.Aux = nil
			if got, want := *h, row.want; got.Version != want.Version || got.Server != want.Server ||
				got.ReplID != want.ReplID || got.Offset != want.Offset ||
				got.StreamDB != want.StreamDB || got.AOFBase != want.AOFBase ||
				!got.Created.Equal(want.Created) {
				t.Errorf("got %+v, want %+v", got, want)
			}
		})
	}
}

func TestHeaderOfEachServer(t *testing.T) {
	proxytest.EachServer(t, func(t *testing.T, srv *proxytest.Server) {
		srv.MustDo("SET", "k", "v")
		srv.Save()
		b, err := os.ReadFile(filepath.Join(srv.Dir, "dump.rdb"))
		if err != nil {
			t.Fatal(err)
		}
		h, err := ReadHeader(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		if h.Server != srv.Binary.Version {
			t.Errorf("server version %q, want %q", h.Server, srv.Binary.Version)
		}
		if h.Placed() {
			t.Errorf("placed at %s:%d without a backlog", h.ReplID, h.Offset)
		}
	})
}

func FuzzReadHeader(f *testing.F) {
	f.Add([]byte("REDIS0011\xfa\x09redis-ver\x057.2.4\xff"))
	f.Add([]byte("VALKEY080\xfa\x07repl-id\xc3\x05\x0a\x00a\xe0\x00\x00\xff"))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := ReadHeader(bytes.NewReader(b))
		if (h == nil) == (err == nil) {
			t.Fatalf("ReadHeader = %v, %v", h, err)
		}
	})
}
