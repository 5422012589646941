package sentinel

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"holdfast/proxy/resp"
)

const (
	leadsFailover = "leads a failover of it"
	holdsDown     = "and others hold it to be down"
)

// Replica is a replica of the primary, as a sentinel shows it.
type Replica struct {
	Address string
	Up      bool // the sentinel reaches it, and it is connected to the primary
}

// readAnswer reads the replies to the questions.
func readAnswer(replies []resp.Value) (a answer, err error) {
	named, master, sentinels, replicas := replies[0], replies[1], replies[2], replies[3]
	if named.Null || master.Type == '-' {
		return a, nil // it does not know the name
	}
	if a.names, err = readAddress(named); err != nil {
		return a, err
	}
	m := fields(master)
	a.quorum, _ = strconv.Atoi(m["quorum"])
	downAfter, _ := strconv.Atoi(m["down-after-milliseconds"])
	a.downAfter = time.Duration(downAfter) * time.Millisecond
	a.epoch, _ = strconv.ParseInt(m["config-epoch"], 10, 64)
	a.sign = signOf(m)
	a.down = hasFlag(m["flags"], "s_down") || hasFlag(m["flags"], "o_down")
	for _, e := range sentinels.Elems {
		f := fields(e)
		if f["runid"] != "" {
			a.peers = append(a.peers, peer{f["runid"], net.JoinHostPort(f["ip"], f["port"])})
		}
	}
	for _, e := range replicas.Elems {
		f := fields(e)
		if f["port"] == "0" {
			continue // a journal
		}
		a.replicas = append(a.replicas, Replica{
			Address: net.JoinHostPort(f["ip"], f["port"]),
			Up:      !hasFlag(f["flags"], "s_down") && f["master-link-status"] == "ok",
		})
	}
	return a, nil
}

// readAddress reads the reply to GET-MASTER-ADDR-BY-NAME.
func readAddress(v resp.Value) (string, error) {
	if v.Type == '-' {
		return "", fmt.Errorf("SENTINEL GET-MASTER-ADDR-BY-NAME: %s", v.Str)
	}
	if len(v.Elems) != 2 {
		return "", fmt.Errorf("SENTINEL GET-MASTER-ADDR-BY-NAME: got %d elements, want 2", len(v.Elems))
	}
	return net.JoinHostPort(string(v.Elems[0].Str), string(v.Elems[1].Str)), nil
}

// signOf reads the signs of a failover from SENTINEL MASTER.
func signOf(m map[string]string) sign {
	address := net.JoinHostPort(m["ip"], m["port"])
	switch flags := m["flags"]; {
	case hasFlag(flags, "failover_in_progress"):
		return sign{address, leadsFailover}
	case hasFlag(flags, "o_down"):
		return sign{address, holdsDown}
	}
	return sign{}
}

func hasFlag(flags, flag string) bool {
	return slices.Contains(strings.Split(flags, ","), flag)
}

// fields reads a map, or the same as a flat list.
func fields(v resp.Value) map[string]string {
	out := make(map[string]string, len(v.Elems)/2)
	for i := 0; i+1 < len(v.Elems); i += 2 {
		out[string(v.Elems[i].Str)] = string(v.Elems[i+1].Str)
	}
	return out
}
