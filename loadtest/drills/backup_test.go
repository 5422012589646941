package drills

import (
	"os"
	"path/filepath"
	"strings"

	"holdfast/proxy/proxytest"
)

// backup copies a server's dump.rdb, as it saves it now, into the operator's folder.
func (s *scene) backup(srv *proxytest.Server, name string) {
	s.Helper()
	srv.Save()
	b, err := os.ReadFile(filepath.Join(srv.Dir, "dump.rdb"))
	if err != nil {
		s.Fatal(err)
	}
	s.write(name, string(b))
}

// replica starts one of the scene's server and waits until it has everything.
func (s *scene) replica(of string) *proxytest.Server {
	s.Helper()
	dst := s.server()
	host, port, _ := strings.Cut(of, ":")
	dst.MustDo("REPLICAOF", host, port)
	s.await("the replica follows", func() bool {
		i := dst.Info("replication")
		return i["master_link_status"] == "up" &&
			i["slave_repl_offset"] == s.srv.Info("replication")["master_repl_offset"]
	})
	return dst
}

// gone: machine and disk of the server are lost under its clients.
func gone(s *scene) {
	s.deployed(s.server())
	want := contentsOf(s, s.srv.Addr)
	s.srv.Kill()
	s.ready(503, "")
	s.alerts("HoldfastUpstreamDown")
	dst := s.target()
	s.run(0)
	s.answered("SET", "pay:now", "1")
	s.ready(200, "ready\n")
	mine := func(name string) bool { return name == "0 pay:now" }
	s.holds(dst.Addr, want.with(contentsOf(s, dst.Addr), mine))
}

// allDown begins a scene with a backup of the primary and a younger one of its replica; then both are
// gone, and only the journal has the last writes.
func (s *scene) allDown() (end contents) {
	s.Helper()
	s.begin(s.server(), payRoute)
	fill(s, s.addr, s.size())
	s.recorded()
	s.backup(s.srv, "primary.rdb")
	s.pays("second", 100)
	replica := s.replica(s.srv.Addr)
	s.backup(replica, "replica.rdb")
	s.pays("third", 100)
	s.recorded()
	end = contentsOf(s, s.srv.Addr)
	s.srv.Kill()
	replica.Kill()
	return end
}

// backupsDisagree: a backup of last night, one of the replica, and both servers are down.
func backupsDisagree(s *scene) {
	want := s.allDown()
	dst := s.target()
	if out, err := s.look(0); err != nil || !strings.HasPrefix(out, "newest: replica.rdb (ok)") {
		s.Fatalf("%v: %s", err, out)
	}
	s.tells("`journal which`")
	s.run(1)
	s.holds(dst.Addr, want)
}

// backupDamaged: the younger backup has a wrong bit, and is not called the newest.
func backupDamaged(s *scene) {
	want := s.allDown()
	path := filepath.Join(s.dir, "replica.rdb")
	s.spoil(path)
	dst := s.target()
	if out, err := s.look(0); err == nil || !strings.HasPrefix(out, "newest: primary.rdb (ok)") ||
		!strings.Contains(out, "damaged") {
		s.Fatalf("%v: %s", err, out)
	}
	s.tells("`journal which`, exit code 1")
	s.run(1)
	s.holds(dst.Addr, want)
}
