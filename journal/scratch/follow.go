package scratch

import (
	"context"
	"errors"
	"fmt"

	"holdfast/journal/replay"
)

// Follow returns a scratch server that stands at the point of a plan as a replica of this process,
// and advances with the Follower. Close the Follower before the Server. It chooses among the
// programs of PATH as [Rebuild] does.
func Follow(ctx context.Context, o Options, r replay.RestoreOptions) (*Server, *replay.Follower, error) {
	if o.Server != nil {
		s := &Server{Endpoint: *o.Server, About: o.Server.Address}
		f, err := s.follow(ctx, r)
		if err != nil {
			return nil, nil, fmt.Errorf("scratch server %s: %w", s.About, err)
		}
		return s, f, nil
	}
	all, err := find(o.Program)
	if err != nil {
		return nil, nil, err
	}
	for _, program := range all {
		var s *Server
		if s, err = Start(ctx, Options{Program: program, Dir: o.Dir}, r.Plan.Needs.MaxDB+1); err != nil {
			return nil, nil, err
		}
		var f *replay.Follower
		if f, err = s.follow(ctx, r); err == nil {
			return s, f, nil
		}
		err = errors.Join(fmt.Errorf("scratch server %s: %w", program, err), s.Close())
		var pre *replay.PreflightError
		if !errors.As(err, &pre) {
			return nil, nil, err
		}
	}
	return nil, nil, err
}

func (s *Server) follow(ctx context.Context, r replay.RestoreOptions) (*replay.Follower, error) {
	r.Target, r.Username, r.Password = s.Endpoint.Address, s.Endpoint.Username, s.Endpoint.Password
	r.Dial, r.Serve, r.Force = s.Endpoint.Dial, s.Endpoint.Serve, false
	return replay.Follow(ctx, r)
}
