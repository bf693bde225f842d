"""What makes `twistd inletspy` known to Twisted; it must stay free of imports of our own."""

from twisted.application.service import ServiceMaker

inletspy = ServiceMaker(
    "inletspy",
    "inletspy.tap",
    "A self-hosted tunnel: gives services behind NAT a public address.",
    "inletspy",
)
