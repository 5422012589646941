package admin_test

import (
	"testing"

	"holdfast/proxy/admin"
)

// An operator pastes the command as it stands.
func TestRestoreCommand(t *testing.T) {
	t.Parallel()
	for want, got := range map[string]string{
		"proxy restore --dir /j --event 3 --target ADDRESS":                  admin.RestoreCommand("/j", 3, 0),
		"proxy restore --dir '/a b' --event 3 --timeline 2 --target ADDRESS": admin.RestoreCommand("/a b", 3, 2),
	} {
		if got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}
