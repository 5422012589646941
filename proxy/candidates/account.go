package candidates

import (
	"errors"
	"net"
	"strconv"
	"strings"
)

// account is the role and the history of a server, by its own words.
type account struct {
	master  bool
	follows string // the address of its primary, of a replica
	linked  bool   // a replica: it is connected to its primary
	replid  string // of its history
	replid2 string // of the history that it continues; "": none
	offset  int64  // replication offset
	runID   string
	// replica: this process is a replica, or has been one. A server that continues another history
	// without that was started again from an RDB file.
	replica bool
}

var (
	errLoading  = errors.New("it is loading its data")
	errStarting = errors.New("it is loading its data, and may be the primary then")
	errSentinel = errors.New("it is a sentinel, not a server: see upstream.sentinels")
	errNoRole   = errors.New("its INFO has no role")
)

// Conn is a connection to a candidate; upstream.Talk is one.
type Conn interface {
	// Info returns the fields of sections of INFO, all of one process. It returns within the
	// Timeout of the Options.
	Info(sections ...string) (map[string]string, error)
	Close()
}

// ask asks for an account. The section that has the role and the ids comes last: a server that is
// promoted meanwhile shows in the earlier ones already that it has been a replica.
func ask(c Conn) (*account, error) {
	f, err := c.Info("server", "persistence", "stats", "replication")
	switch {
	case err != nil:
		return nil, err
	case f["redis_mode"] == "sentinel":
		return nil, errSentinel
	case f["loading"] == "1" && f["role"] == "master":
		return nil, errStarting
	case f["loading"] == "1":
		return nil, errLoading
	case f["role"] == "" || f["master_replid"] == "":
		return nil, errNoRole
	}
	a := &account{master: f["role"] == "master", replid: f["master_replid"], replid2: f["master_replid2"],
		runID: f["run_id"]}
	if strings.Trim(a.replid2, "0") == "" {
		a.replid2 = ""
	}
	offset := f["master_repl_offset"]
	if !a.master {
		a.follows = net.JoinHostPort(f["master_host"], f["master_port"])
		a.linked = f["master_link_status"] == "up"
		offset = f["slave_repl_offset"]
	}
	a.offset, _ = strconv.ParseInt(offset, 10, 64)
	received, _ := strconv.ParseInt(f["total_net_repl_input_bytes"], 10, 64)
	a.replica = !a.master || received > 0
	return a, nil
}
