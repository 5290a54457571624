"""The words of the default bundle: what it knows by name, the picture of each, and other words for the same thing.

Plain data, a row for each concept: `name / hex code of its Fluent emoji / synonyms`. Names and synonyms are spoken and
typed; the codes are file names of the Fluent collection.
"""

ANIMALS = """
dog/1f436/puppy, hound
cat/1f431/kitten, kitty
horse/1f434/pony
cow/1f42e/cattle
sheep/1f411/lamb
goat/1f410/
pig/1f437/piglet, hog
lion/1f981/
tiger/1f42f/
wolf/1f43a/
fox/1f98a/
monkey/1f435/
bear/1f43b/
panda/1f43c/
koala/1f428/
kangaroo/1f998/
elephant/1f418/
rhinoceros/1f98f/rhino
hippopotamus/1f99b/hippo
giraffe/1f992/
zebra/1f993/
camel/1f42b/
deer/1f98c/
donkey/1facf/mule
unicorn/1f984/
mouse/1f42d/
rabbit/1f430/bunny
squirrel/1f43f-fe0f/chipmunk
hedgehog/1f994/
bat/1f987/
chicken/1f414/hen
rooster/1f413/cock
turkey/1f983/
bird/1f426/sparrow
penguin/1f427/
dove/1f54a-fe0f/pigeon
eagle/1f985/hawk
duck/1f986/
swan/1f9a2/
goose/1fabf/
owl/1f989/
flamingo/1f9a9/
peacock/1f99a/
parrot/1f99c/
crow/1f426-200d-2b1b/raven
feather/1fab6/
frog/1f438/toad
crocodile/1f40a/alligator
turtle/1f422/tortoise
lizard/1f98e/
snake/1f40d/serpent
dragon/1f432/
dinosaur/1f995/
whale/1f433/
dolphin/1f42c/
seal/1f9ad/
fish/1f420/
shark/1f988/
octopus/1f419/
jellyfish/1fabc/
crab/1f980/
lobster/1f99e/
shell/1f41a/
snail/1f40c/
butterfly/1f98b/
caterpillar/1f41b/
ant/1f41c/
bee/1f41d/honeybee
ladybug/1f41e/ladybird
cricket/1f997/grasshopper
spider/1f577-fe0f/
scorpion/1f982/
mosquito/1f99f/
"""

NATURE = """
blossom/1f338/
rose/1f339/
sunflower/1f33b/
tulip/1f337/
flower/1f4ae/
pine tree/1f332/fir tree
tree/1f333/
palm tree/1f334/
cactus/1f335/
leaf/1f341/maple leaf
mushroom/1f344/
rock/1faa8/stone
mountain/1f3d4-fe0f/
volcano/1f30b/
island/1f3dd-fe0f/
earth/1f30d/globe, world
sun/2600-fe0f/sunshine
moon/1f319/
planet/1fa90/saturn
star/2b50/
cloud/2601-fe0f/
rain/1f327-fe0f/
snow/1f328-fe0f/
thunder/26a1/lightning
storm/26c8-fe0f/thunderstorm
tornado/1f32a-fe0f/whirlwind
wind/1f32c-fe0f/breeze
rainbow/1f308/
snowflake/2744-fe0f/
snowman/26c4/
fire/1f525/flame
water/1f4a7/drop
ocean/1f30a/wave, sea
ice/1f9ca/
"""

FOOD = """
grapes/1f347/
watermelon/1f349/
orange/1f34a/tangerine
lemon/1f34b/
banana/1f34c/
pineapple/1f34d/
apple/1f34e/
pear/1f350/
peach/1f351/
cherry/1f352/cherries
strawberry/1f353/
blueberry/1fad0/
tomato/1f345/
coconut/1f965/
avocado/1f951/
eggplant/1f346/aubergine
potato/1f954/
carrot/1f955/
corn/1f33d/maize
pepper/1fad1/
cucumber/1f952/
broccoli/1f966/
garlic/1f9c4/
onion/1f9c5/
bread/1f35e/loaf
croissant/1f950/
pretzel/1f968/
pancake/1f95e/
waffle/1f9c7/
cheese/1f9c0/
hamburger/1f354/burger
french fries/1f35f/chips
pizza/1f355/
hot dog/1f32d/sausage
sandwich/1f96a/
egg/1f95a/
salad/1f957/
popcorn/1f37f/
sushi/1f363/
noodles/1f35c/ramen, soup
ice cream/1f366/
donut/1f369/doughnut
cookie/1f36a/biscuit
cake/1f382/birthday cake
pie/1f967/
chocolate/1f36b/
candy/1f36c/sweets
lollipop/1f36d/
honey/1f36f/
milk/1f95b/
coffee/2615/
tea/1f375/
teapot/1fad6/kettle
wine/1f377/
beer/1f37a/
lemonade/1f964/soda
spoon/1f944/
knife/1f52a/
"""

PLACES = """
house/1f3e0/home
castle/1f3f0/
hospital/1f3e5/
church/26ea/chapel
tower/1f5fc/
fountain/26f2/
tent/26fa/
city/1f3d9-fe0f/
bridge/1f309/
carousel/1f3a0/merry-go-round
ferris wheel/1f3a1/
roller coaster/1f3a2/
circus/1f3aa/
"""

VEHICLES = """
train/1f682/locomotive, steam train
tram/1f68a/streetcar
bus/1f68c/
ambulance/1f691/
fire engine/1f692/fire truck
police car/1f693/police
taxi/1f695/cab
car/1f697/automobile
truck/1f69a/lorry
tractor/1f69c/
motorcycle/1f3cd-fe0f/motorbike
scooter/1f6f5/moped
bicycle/1f6b2/bike
skateboard/1f6f9/
anchor/2693/
sailboat/26f5/yacht
canoe/1f6f6/kayak
ship/1f6a2/steamer
airplane/2708-fe0f/plane, jet
parachute/1fa82/
helicopter/1f681/chopper
satellite/1f6f0-fe0f/
rocket/1f680/spaceship
flying saucer/1f6f8/
traffic light/1f6a5/
siren/1f6a8/alarm
"""

PLAY = """
pumpkin/1f383/halloween
christmas tree/1f384/
fireworks/1f386/
balloon/1f388/
party/1f389/confetti
gift/1f381/present
ribbon/1f380/bow
wind chime/1f390/
trophy/1f3c6/
soccer/26bd/football
baseball/26be/
basketball/1f3c0/
tennis/1f3be/
boxing/1f94a/
ice skate/26f8-fe0f/
fishing/1f3a3/
sled/1f6f7/sleigh
target/1f3af/bullseye
kite/1fa81/
crystal ball/1f52e/
magic wand/1fa84/
game/1f3ae/video game
dice/1f3b2/
teddy bear/1f9f8/teddy
chess/265f-fe0f/pawn
heart/2764-fe0f/love
broken heart/1f494/
ghost/1f47b/spook
alien/1f47d/
robot/1f916/
skull/1f480/skeleton
clown/1f921/
kiss/1f48b/lips
explosion/1f4a5/bang
crown/1f451/
"""

INSTRUMENTS = """
bell/1f514/
saxophone/1f3b7/
trumpet/1f3ba/
horn/1f4ef/
accordion/1fa97/
guitar/1f3b8/
piano/1f3b9/
violin/1f3bb/fiddle
banjo/1fa95/
drum/1f941/drums
maracas/1fa87/rattle
flute/1fa88/whistle
microphone/1f3a4/singing
music/1f3b6/
headphones/1f3a7/
radio/1f4fb/
applause/1f44f/clapping, hands
"""

OBJECTS = """
glasses/1f453/spectacles
shirt/1f455/
jeans/1f456/trousers, pants
scarf/1f9e3/
glove/1f9e4/
coat/1f9e5/jacket
sock/1f9e6/
dress/1f457/
backpack/1f392/rucksack
shoe/1f45f/sneaker
boot/1f97e/
hat/1f3a9/
ring/1f48d/
diamond/1f48e/gem, jewel
telephone/260e-fe0f/phone
computer/1f4bb/laptop
keyboard/2328-fe0f/
television/1f4fa/
camera/1f4f7/
candle/1f56f-fe0f/
lamp/1f4a1/light bulb
book/1f4d5/
newspaper/1f4f0/
money/1f4b0/
envelope/2709-fe0f/letter
pencil/270f-fe0f/
paintbrush/1f58c-fe0f/brush
scissors/2702-fe0f/
lock/1f512/padlock
key/1f511/
hammer/1f528/
axe/1fa93/
saw/1fa9a/chainsaw
gear/2699-fe0f/
sword/1f5e1-fe0f/dagger
bow and arrow/1f3f9/archery
shield/1f6e1-fe0f/
bomb/1f4a3/
ladder/1fa9c/
telescope/1f52d/
door/1f6aa/
mirror/1fa9e/
window/1fa9f/
bed/1f6cf-fe0f/
chair/1fa91/
broom/1f9f9/
bucket/1faa3/
bubbles/1fae7/
umbrella/2614/
hourglass/231b/
watch/231a/
alarm clock/23f0/
clock/1f570-fe0f/
footprints/1f463/footsteps
bone/1f9b4/
tooth/1f9b7/
brain/1f9e0/
eye/1f441-fe0f/
ear/1f442/
nose/1f443/
"""

FACES = """
smile/1f600/happy
laughter/1f602/laughing
crying/1f62d/tears, sad
angry/1f621/
sleeping/1f634/snoring
scream/1f631/fear
"""

CATEGORIES: dict[str, str] = {
    "animals": ANIMALS,
    "nature": NATURE,
    "food": FOOD,
    "places": PLACES,
    "vehicles": VEHICLES,
    "play": PLAY,
    "instruments": INSTRUMENTS,
    "objects": OBJECTS,
    "faces": FACES,
}
