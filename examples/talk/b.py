print("application b")
