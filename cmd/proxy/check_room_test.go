package main

import (
	"strings"
	"testing"

	"holdfast/proxy/proxytest"
)

func TestCheckReplicaBuffer(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t)
	text := "upstream: {address: \"" + srv.Addr + "\"}\njournal: {dir: j}\n"
	expectCheck(t, exitDone, text, nil, "warn  journal: client-output-buffer-limit of replicas is "+
		"256 MiB, and limits.max_bulk lets values of 512 MiB pass")
	srv.MustDo("CONFIG", "SET", "client-output-buffer-limit", "replica 0 0 0")
	if out := expectCheck(t, exitDone, text, nil); strings.Contains(out, "client-output-buffer") {
		t.Error(out)
	}
}
