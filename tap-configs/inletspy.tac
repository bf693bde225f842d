"""The server as an application of one's own, to which other services can be added.

    twistd -n -y tap-configs/inletspy.tac

Options are given here; what is left out comes from the environment, as always
(docs/configuration.md).
"""

from twisted.application.service import Application

from inletspy.tap import Options, makeService

options = Options()
options.parseOptions(["--domain", "tunnel.localhost"])

application = Application("inletspy")
makeService(options).setServiceParent(application)
