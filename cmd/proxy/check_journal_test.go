package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"holdfast/proxy/proxytest"
)

func TestCheckJournal(t *testing.T) {
	t.Parallel()
	proxytest.EachServer(t, func(t *testing.T, srv *proxytest.Server) {
		text := "upstream: {address: \"" + srv.Addr + "\"}\njournal: {dir: j}\n"
		out := expectCheck(t, exitDone, text, nil,
			"ok    journal: the control user default may replicate",
			"warn  journal: repl-backlog-size is ")
		if !strings.Contains(out, "/j: new\n") {
			t.Error(out)
		}
		srv.MustDo("CONFIG", "SET", "repl-backlog-size", "64mb")
		expectCheck(t, exitDone, text, nil, "ok    journal: repl-backlog-size is 64MiB")

		srv.MustDo("ACL", "SETUSER", "meek", "on", ">x", "+@all", "-psync")
		as := strings.Replace(text, "\"}", "\", username: meek, password: x}", 1)
		expectCheck(t, exitFailed, as, nil,
			"FAIL  journal: the control user meek may not run PSYNC: it needs +psync +replconf")
		srv.MustDo("ACL", "SETUSER", "meek", "+psync", "-set", "~*")
		expectCheck(t, exitDone, as, nil, "warn  journal: the control user meek may not write its "+
			"mark: after a restart of the server less can be said about what it lost. On the server: "+
			"ACL SETUSER meek +select +get +set ~holdfast:mark\n")
		srv.MustDo("ACL", "SETUSER", "meek", "+set", "resetkeys", "~holdfast:mark")
		expectCheck(t, exitDone, as, nil, "warn  journal: the control user meek may not compare keys")
		srv.MustDo("ACL", "SETUSER", "meek", "%R~*")
		expectCheck(t, exitDone, as, nil, "ok    journal: the control user meek may mark the server")
		srv.MustDo("ACL", "SETUSER", "meek", "-acl", "-info")
		expectCheck(t, exitDone, as, nil,
			"warn  journal: whether the control user meek may replicate is unknown: ACL DRYRUN: ",
			"warn  journal: the size of the replication backlog is unknown: ")
	})
}

func TestCheckFolder(t *testing.T) {
	t.Parallel()
	srv, p := recording(t, "")
	srv.MustDo("SET", "a", 1)
	p.recordedAll(srv)
	text := "journal: {dir: \"" + p.folder() + "\", disk: {warn: 1, stop: 99}}\n"
	expectCheck(t, exitDone, text, offline,
		"ok    journal: "+p.folder()+": 1 timeline, 1 base, 1 segment, from 20",
		"warn  journal: the disk is ")
	p.stop()
	logs, err := filepath.Glob(filepath.Join(p.folder(), "*.seg"))
	if err != nil || len(logs) == 0 {
		names, _ := os.ReadDir(p.folder())
		t.Fatal(logs, err, names)
	}
	flipByte(t, logs[0], 200)
	expectCheck(t, exitFailed, text, offline, "FAIL  journal: "+p.folder()+": ")
}
