package rdb_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"holdfast/journal/rdb"
	"holdfast/proxy/proxytest"
)

// TestWalk reads the dumps of six servers, with every type in every encoding.
func TestWalk(t *testing.T) {
	for _, bin := range proxytest.Matrix(t) {
		t.Run(bin.String(), func(t *testing.T) {
			dir := t.TempDir()
			srv := proxytest.Spec{Kind: bin.Kind, Args: []string{"--dir", dir, "--databases", "64"}}.
				Start(t)
			want := populate(srv)
			srv.Save()
			file, err := os.ReadFile(filepath.Join(dir, "dump.rdb"))
			if err != nil {
				t.Fatal(err)
			}
			got, err := rdb.Walk(bytes.NewReader(file))
			if err != nil || fmt.Sprint(got.Keys) != fmt.Sprint(want) || got.Functions != 1 {
				t.Fatalf("%+v, %v; want keys %v", got, err, want)
			}
			for _, cut := range []int{9, 20, len(file) / 3, len(file) / 2, len(file) - 9} {
				if _, err := rdb.Walk(bytes.NewReader(file[:cut])); !errors.Is(err, rdb.ErrFormat) {
					t.Errorf("cut at byte %d of %d: %v", cut, len(file), err)
				}
			}
		})
	}
}

// populate writes one value of each type, small and large, and says how many keys there are.
func populate(srv *proxytest.Server) map[int]int64 {
	srv.MustDo("FUNCTION", "LOAD",
		"#!lua name=l\nredis.register_function('f', function() return 1 end)")
	long := strings.Repeat("0123456789", 50)
	want := map[int]int64{}
	conn := srv.Client().Conn()
	defer conn.Close()
	do := func(args ...any) error { return conn.Do(context.Background(), args...).Err() }
	for db, n := range map[int]int{0: 3, 7: 300, 40: 2} {
		do("SELECT", db)
		do("SET", "int", 12345)
		do("SET", "long", long, "EX", 1000)
		for i := range n {
			do("RPUSH", "list", i, long)
			do("SADD", "ints", i)
			do("SADD", "set", "m", fmt.Sprint("x", i))
			do("ZADD", "zset", float64(i)+0.5, fmt.Sprint("m", i))
			do("HSET", "hash", fmt.Sprint("f", i), long)
			do("XADD", "stream", "*", "a", i)
		}
		do("XGROUP", "CREATE", "stream", "g", "0")
		do("XREADGROUP", "GROUP", "g", "c", "COUNT", 2, "STREAMS", "stream", ">")
		do("PFADD", "hll", "a", "b")
		do("HSET", "ttl", "f", "v")
		do("HEXPIRE", "ttl", 1000, "FIELDS", 1, "f")
		do("HSET", "ttls", "f", long)
		do("HEXPIRE", "ttls", 1000, "FIELDS", 1, "f")
		keys, _ := conn.DBSize(context.Background()).Result()
		want[db] = keys
	}
	return want
}
