package systemd

// A Socket is a listening socket that the service manager has opened and passed to this process.
type Socket struct {
	File    int    // its descriptor
	Name    string // FileDescriptorName= of its unit
	Address string // host:port or unix:/path
}
