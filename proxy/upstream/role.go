package upstream

import (
	"context"
	"net"
)

// A Standing is a server's place in a replication, by its own account.
type Standing struct {
	Role    string // "master" for a primary; "": the server does not say it
	Follows string // a replica: the address of its primary
	ReplID  string // of its history; "": the user may not run INFO
	ReplID2 string // of the history that it continues
}

// AskStanding asks the server at opts.Address, on a connection of its own. Without the permission for INFO it learns
// the role only.
func AskStanding(ctx context.Context, opts Options) (s Standing, err error) {
	t, err := Open(ctx, opts)
	if err != nil {
		return s, err
	}
	defer t.Close()
	s.Role = t.Role
	f, err := t.Info("replication")
	if err != nil {
		return s, nil
	}
	s.Role, s.ReplID, s.ReplID2 = f["role"], f["master_replid"], f["master_replid2"]
	if f["master_host"] != "" {
		s.Follows = net.JoinHostPort(f["master_host"], f["master_port"])
	}
	return s, nil
}
