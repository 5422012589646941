package upstream

import (
	"strconv"
	"strings"
	"testing"

	"holdfast/proxy/proxytest"
)

const replicationText = "# Replication\r\nrole:master\r\nconnected_slaves:5\r\n" +
	"slave0:ip=127.0.0.1,port=6380,state=online,offset=100,lag=0\r\n" +
	"slave1:ip=::1,port=6381,state=online,offset=99,lag=1,type=replica\r\n" +
	"slave2:ip=127.0.0.1,port=0,state=online,offset=100,lag=0\r\n" +
	"slave3:ip=127.0.0.1,port=6382,state=send_bulk,offset=0,lag=0\r\n" +
	"slave10:ip=127.0.0.1,port=6383,state=online,offset=100,lag=0,type=rdb-channel\r\n" +
	"master_failover_state:no-failover\r\n" +
	"master_replid:0123456789012345678901234567890123456789\r\n" +
	"master_replid2:0000000000000000000000000000000000000000\r\n" +
	"master_repl_offset:100\r\nsecond_repl_offset:-1\r\nslave_x:1\r\nslave9\r\nslave:a=b\r\n"

func TestParseReplication(t *testing.T) {
	r := ParseReplication([]byte(replicationText))
	if !r.IsPrimary() || r.HasPast() || r.Offset != 100 ||
		string(r.ReplID) != strings.Repeat("0123456789", 4) || r.Journals != 1 {
		t.Errorf("got %+v", r)
	}
	for offset, want := range map[int64]int{0: 2, 99: 2, 100: 1, 101: 0} {
		if got := r.Acked(offset); got != want {
			t.Errorf("acknowledged %d: got %d replicas, want %d", offset, got, want)
		}
	}
	promoted := strings.Replace(replicationText, strings.Repeat("0", 40), strings.Repeat("0a", 20), 1)
	if r := ParseReplication([]byte(promoted)); !r.HasPast() {
		t.Error("a second replication id is no past")
	}
	lines := strings.ReplaceAll(replicationText, "\r\n", "\n")
	if r := ParseReplication([]byte(lines)); r.Acked(100) != 1 || r.Offset != 100 {
		t.Errorf("lines that end in LF alone: got %+v", r)
	}
}

func TestParseReplicationOfNonsense(t *testing.T) {
	for _, text := range []string{
		"", "\r\n", ":", "slave0:", "slave0:,,,=,port", "slave0:port=99999999999999999999,state=online",
		"role", "master_repl_offset:x\r\nsecond_repl_offset:--1", "\xff\x00",
	} {
		r := ParseReplication([]byte(text))
		if r.IsPrimary() || r.Acked(0) != 0 || r.Offset != 0 {
			t.Errorf("%q: got %+v", text, r)
		}
	}
}

// Fences read it on the event loop, at every round.
func TestParseReplicationAllocatesNothing(t *testing.T) {
	text, sum := []byte(replicationText), 0
	if n := testing.AllocsPerRun(100, func() {
		r := ParseReplication(text)
		sum += r.Acked(r.Offset)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestParseReplicationOfEveryServer(t *testing.T) {
	proxytest.EachServer(t, func(t *testing.T, srv *proxytest.Server) {
		replica := proxytest.Spec{Kind: srv.Binary.Kind,
			Args: []string{"--replicaof", "127.0.0.1 " + strconv.Itoa(srv.Port)}}.Start(t)
		var r Replication
		proxytest.Poll(t, "a replica that has acknowledged", func() bool {
			srv.MustDo("SET", "k", "v")
			text, _ := srv.MustDo("INFO", "replication").(string)
			r = ParseReplication([]byte(text))
			return r.Acked(1) == 1
		})
		if !r.IsPrimary() || r.HasPast() || r.Journals != 0 || len(r.ReplID) != 40 || r.Offset == 0 {
			t.Errorf("got %+v", r)
		}
		replica.MustDo("REPLICAOF", "NO", "ONE")
		text, _ := replica.MustDo("INFO", "replication").(string)
		if r := ParseReplication([]byte(text)); !r.IsPrimary() || !r.HasPast() {
			t.Errorf("promoted: got %+v", r)
		}
	})
}

func BenchmarkParseReplication(b *testing.B) {
	text := []byte(replicationText)
	for b.Loop() {
		r := ParseReplication(text)
		r.Acked(r.Offset)
	}
}
