package upstream

import "context"

// AskRole asks the server at opts.Address for its role, on a connection of its own: "master" for a
// primary. An empty role with a nil error means that the server does not say it.
func AskRole(ctx context.Context, opts Options) (role string, err error) {
	t, err := Open(ctx, opts)
	if err != nil {
		return "", err
	}
	defer t.Close()
	return t.Role, nil
}
