package proxy

import "testing"

// A session whose user's link cannot be dialled gets one later: else nothing would show that the user is deleted.
func TestWatchAfterAFailedDial(t *testing.T) {
	inBubble(t, nil, func(b *bubble) {
		f := b.server
		b.client().send("AUTH other one") // opens the link by which a login is tried
		c := b.client()
		f.change(func() { f.refuse = true })
		c.send("AUTH app one")
		c.expect("+OK\r\n")
		f.change(func() { f.refuse = false })
		b.sleep(2 * doubtAgain)
		f.change(func() {
			f.instead["auth app one"] = "-WRONGPASS invalid username-password pair or user is disabled.\r\n"
		})
		b.onLoop(func() {
			for l := range b.w.links {
				if l.ident.key.user == "app" {
					l.fail(nil)
				}
			}
		})
		c.expectEnd()
	})
}
