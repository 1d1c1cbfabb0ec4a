"""What each rule of residency asks, in words; the documentation and ``secondsite explain`` show it."""

ABOUT = {
    "country-allowed": "**Does each site stand in a country that the file allows?**",
    "distance-allowed": "**Are the sites no farther apart than the file allows?**",
    "location-plausible": "**Can the declared places be true?** Light itself needs longer than a wrong one allows.",
    "sites-apart": "**Do the sites stand in different buildings?** What destroys one would destroy both.",
    "subnets-apart": "**Are the sites in different networks?** A small network often lies in one building.",
    "places-apart": "**Are the sites in different towns, or run by different operators?**",
    "declared": "**What does the file say about each site?** Shown beside what is proven.",
    "distance-bound": "**What does the measured round-trip time prove?** A greatest distance, nothing else.",
}
