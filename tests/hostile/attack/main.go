// Attack tries to get out of a sandbox: see package hostile.
package main

import "github.com/apt-be/apt-be/tests/hostile"

func main() { hostile.Main() }
