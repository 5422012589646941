package upstream

import "bytes"

// Replication holds the fields of `INFO replication`. Its texts alias the reply and are valid as
// long as it is.
type Replication struct {
	Role    []byte // "master" or "slave"
	ReplID  []byte // replication id: 40 hexadecimal digits
	ReplID2 []byte // of the previous history; all zeros: none
	Offset  int64  // replication offset, up to which the server has written

	// Journals counts the attached replicas without a port, online or not. A journal announces port 0 since it accepts no connections:
	// WAIT counts it like a replica, but no failover can promote it.
	Journals int

	lines []byte // from the first replica's line on
}

// IsPrimary reports whether the server takes writes of its own.
func (r *Replication) IsPrimary() bool { return string(r.Role) == "master" }

// HasPast reports whether the server continues another history: it is a promoted replica, or a
// restarted one.
func (r *Replication) HasPast() bool { return len(bytes.Trim(r.ReplID2, "0")) > 0 }

// Acked counts the replicas that are online, have a port, and have acknowledged the offset.
func (r *Replication) Acked(offset int64) (n int) {
	var line []byte
	for rest := r.lines; len(rest) > 0; {
		line, rest = nextLine(rest)
		if s, ok := parseReplica(line); ok && s.counts() && s.Offset >= offset {
			n++
		}
	}
	return n
}

// ParseReplication reads the text of INFO, of the section replication or of more. Missing fields
// have their zero value. It allocates nothing.
func ParseReplication(text []byte) (r Replication) {
	var line []byte
	for rest := text; len(rest) > 0; {
		from := rest
		line, rest = nextLine(rest)
		if s, ok := parseReplica(line); ok {
			if r.lines == nil {
				r.lines = from
			}
			if s.Port == 0 {
				r.Journals++
			}
			continue
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		switch string(name) {
		case "role":
			r.Role = value
		case "master_replid":
			r.ReplID = value
		case "master_replid2":
			r.ReplID2 = value
		case "master_repl_offset":
			r.Offset = parseNumber(value)
		}
	}
	return r
}

// replicaLine is one replica as its line has it:
// slave0:ip=127.0.0.1,port=6380,state=online,offset=42,lag=1,type=replica
type replicaLine struct {
	IP, State   []byte
	Port        int64
	Offset, Lag int64
	channel     bool // the snapshot connection of a replica that has its own line
}

// counts reports whether the replica can prove anything.
func (s *replicaLine) counts() bool {
	return s.Port != 0 && !s.channel && string(s.State) == "online"
}

// parseReplica reads the line of a replica; ok is false for any other line.
func parseReplica(line []byte) (s replicaLine, ok bool) {
	rest, ok := bytes.CutPrefix(line, []byte("slave"))
	digits := 0
	for digits < len(rest) && rest[digits] >= '0' && rest[digits] <= '9' {
		digits++
	}
	if !ok || digits == 0 || digits == len(rest) || rest[digits] != ':' {
		return s, false
	}
	for rest = rest[digits+1:]; len(rest) > 0; {
		var field []byte
		field, rest, _ = bytes.Cut(rest, []byte(","))
		name, value, _ := bytes.Cut(field, []byte("="))
		switch string(name) {
		case "ip":
			s.IP = value
		case "port":
			s.Port = parseNumber(value)
		case "state":
			s.State = value
		case "offset":
			s.Offset = parseNumber(value)
		case "lag":
			s.Lag = parseNumber(value)
		case "type":
			s.channel = string(value) == "rdb-channel"
		}
	}
	return s, true
}

// nextLine cuts the first line off, without its end.
func nextLine(text []byte) (line, rest []byte) {
	line, rest, _ = bytes.Cut(text, []byte("\n"))
	return bytes.TrimSuffix(line, []byte("\r")), rest
}

// parseNumber reads a decimal number; 0 for any other text.
func parseNumber(text []byte) int64 {
	negative := false
	if len(text) > 0 && text[0] == '-' {
		negative, text = true, text[1:]
	}
	n := int64(0)
	for _, c := range text {
		if c < '0' || c > '9' || n > (1<<63-1-9)/10 {
			return 0
		}
		n = n*10 + int64(c-'0')
	}
	if negative {
		return -n
	}
	return n
}
